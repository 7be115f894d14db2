#include "engine/engine.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/status_macros.h"
#include "kernels/check.h"

namespace sparsed::engine {
namespace {

template <typename T>
absl::Status CopyVectorIn(kernels::Backend& backend, const kernels::Buffer& to,
                          const std::vector<T>& from) {
  return backend.CopyIn(to.data(), from.data(), from.size() * sizeof(T));
}

template <typename T>
absl::Status CopyVectorOut(kernels::Backend& backend, std::vector<T>& to,
                           const kernels::Buffer& from, size_t count) {
  to.resize(count);
  return backend.CopyOut(to.data(), from.data(), count * sizeof(T));
}

MaskCache::Shape MaskShape(const SparsePlan& plan, int32_t num_passes, const ModelInfo& model) {
  return {num_passes, model.num_layers, model.num_heads, plan.num_blocks, plan.block_size};
}

void Count(StepKind kind, StepCounts& counts) {
  if (kind == StepKind::kFull) ++counts.full;
  if (kind == StepKind::kSelect) ++counts.select;
  if (kind == StepKind::kSparse) ++counts.sparse;
}

absl::Status InvalidRequest(const std::vector<FieldViolation>& violations) {
  std::string message;
  for (const FieldViolation& violation : violations) {
    absl::StrAppend(&message, message.empty() ? "" : "; ", violation.field, ": ",
                    violation.description);
  }
  return absl::InvalidArgumentError(message);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Engine>> Engine::Create(std::unique_ptr<kernels::Backend> backend,
                                                       std::unique_ptr<Model> model,
                                                       const EngineOptions& options) {
  std::unique_ptr<Engine> engine(new Engine(std::move(backend), std::move(model), options));
  SPARSED_RETURN_IF_ERROR(engine->Allocate());
  return engine;
}

Engine::Engine(std::unique_ptr<kernels::Backend> backend, std::unique_ptr<Model> model,
               const EngineOptions& options)
    : backend_(std::move(backend)),
      model_(std::move(model)),
      options_(options),
      row_alignment_(backend_->Info().row_alignment) {}

absl::Status Engine::Allocate() {
  const int64_t rows = AlignedRows(options_.max_batch_tokens, row_alignment_);
  SPARSED_ASSIGN_OR_RETURN(workspace_, Workspace::Create(*backend_, model_info(), rows));
  for (kernels::Buffer* buffer : {&buffers_.ids, &buffers_.positions, &buffers_.head_rows,
                                  &buffers_.tokens, &buffers_.confidences, &buffers_.chosen}) {
    SPARSED_ASSIGN_OR_RETURN(*buffer, backend_->Alloc(rows * sizeof(int32_t)));
  }
  return absl::OkStatus();
}

Reservation Engine::Estimate(const Request& request) const {
  const int32_t num_passes = request.sampling.cfg_scale > 0 ? 2 : 1;
  const SparsePlan plan = PlanSparse(request, model_info());
  Reservation reservation;
  reservation.batch_tokens =
      num_passes * AlignedRows(static_cast<int64_t>(request.ids.size()), row_alignment_);
  if (plan.used) {
    reservation.mask_cache_bytes = MaskCache::BytesFor(MaskShape(plan, num_passes, model_info()));
  }
  return reservation;
}

absl::StatusOr<SequenceId> Engine::Start(const Request& request) {
  const std::vector<FieldViolation> violations = CheckRequest(request, model_info());
  if (!violations.empty()) return InvalidRequest(violations);
  const Reservation reservation = Estimate(request);
  const int64_t limit = std::max(options_.max_running_tokens, options_.max_batch_tokens);
  if (reservation.batch_tokens > options_.max_batch_tokens ||
      batch_tokens_ + reservation.batch_tokens > limit) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "the request takes ", reservation.batch_tokens, " packed rows and ", batch_tokens_,
        " are taken; ", limit, " may be, ", options_.max_batch_tokens, " in one step"));
  }
  Sequence sequence = Sequence::FromRequest(request, model_info());
  if (sequence.plan.used) {
    SPARSED_ASSIGN_OR_RETURN(
        sequence.masks, MaskCache::Create(*backend_, MaskShape(sequence.plan, sequence.num_passes(),
                                                               model_info())));
  }
  batch_tokens_ += reservation.batch_tokens;
  mask_cache_bytes_ += reservation.mask_cache_bytes;
  const SequenceId id = next_id_++;
  sequences_.emplace(id, std::move(sequence));
  return id;
}

void Engine::Remove(SequenceId id) {
  const auto found = sequences_.find(id);
  if (found == sequences_.end()) return;
  const Reservation reservation = Estimate(found->second.request);
  batch_tokens_ -= reservation.batch_tokens;
  mask_cache_bytes_ -= reservation.mask_cache_bytes;
  sequences_.erase(found);
}

const Sequence* Engine::Find(SequenceId id) const {
  const auto found = sequences_.find(id);
  return found == sequences_.end() ? nullptr : &found->second;
}

void Engine::SetCanvasForTest(SequenceId id, std::span<const int32_t> canvas_ids) {
  const auto found = sequences_.find(id);
  SPARSED_CHECK(found != sequences_.end(), "no such sequence");
  Sequence& sequence = found->second;
  SPARSED_CHECK(canvas_ids.size() == sequence.request.canvas.size(), "not G ids");
  for (size_t i = 0; i < canvas_ids.size(); ++i) {
    sequence.ids[sequence.request.canvas[i]] = canvas_ids[i];
  }
}

absl::StatusOr<std::vector<SequenceStep>> Engine::Step(std::span<const SequenceId> chosen) {
  Stopwatch total;
  workspace_.times = StepTimes();
  std::vector<SequenceStep> steps;
  BuildStepBatch(sequences_, model_info(), row_alignment_, batch_, chosen);
  if (batch_.entries.empty()) return steps;
  const int64_t rows = static_cast<int64_t>(batch_.ids.size());
  if (rows > options_.max_batch_tokens) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a step of ", rows, " packed rows; max_batch_tokens is ", options_.max_batch_tokens));
  }
  if (const absl::Status status = RunStep(); !status.ok()) {
    return absl::InternalError(absl::StrCat("denoising step: ", std::string(status.message())));
  }
  for (const BatchEntry& entry : batch_.entries) steps.push_back(Advance(entry));
  workspace_.times.batch_tokens = static_cast<int64_t>(batch_.ids.size());
  total.Lap(workspace_.times.total_seconds);
  return steps;
}

// Everything that can fail comes before the first sequence changes.
absl::Status Engine::RunStep() {
  SPARSED_RETURN_IF_ERROR(Upload());
  SPARSED_RETURN_IF_ERROR(Forward());
  SPARSED_RETURN_IF_ERROR(Sample());
  SPARSED_RETURN_IF_ERROR(Download());
  return MeasureDensities();
}

absl::Status Engine::Upload() {
  SPARSED_RETURN_IF_ERROR(CopyVectorIn(*backend_, buffers_.ids, batch_.ids));
  SPARSED_RETURN_IF_ERROR(CopyVectorIn(*backend_, buffers_.positions, batch_.positions));
  return CopyVectorIn(*backend_, buffers_.head_rows, batch_.head_rows);
}

absl::Status Engine::Forward() {
  PackedBatch packed;
  packed.num_rows = static_cast<int64_t>(batch_.ids.size());
  packed.ids = buffers_.ids.as<int32_t>();
  packed.positions = buffers_.positions.as<int32_t>();
  packed.passes = batch_.passes;
  packed.head_rows = buffers_.head_rows.as<int32_t>();
  packed.num_head_rows = static_cast<int64_t>(batch_.head_rows.size());
  return model_->Forward(*backend_, packed, workspace_);
}

absl::Status Engine::Sample() {
  for (const LogitChunk& chunk : batch_.chunks) {
    const kernels::TensorView logits = workspace_.logits(chunk.num_head_rows);
    SPARSED_RETURN_IF_ERROR(
        model_->Logits(*backend_, workspace_, chunk.first_head_row, chunk.num_head_rows, logits));
    Stopwatch watch;
    SPARSED_RETURN_IF_ERROR(backend_->SampleRows(
        logits, std::span(batch_.samples).subspan(chunk.first_sample, chunk.num_samples),
        buffers_.tokens.as<int32_t>() + chunk.first_sample,
        buffers_.confidences.as<float>() + chunk.first_sample));
    watch.Lap(workspace_.times.sample_seconds);
  }
  Stopwatch watch;
  SPARSED_RETURN_IF_ERROR(backend_->CommitRows(buffers_.confidences.as<float>(), batch_.groups,
                                               buffers_.chosen.as<int32_t>()));
  watch.Lap(workspace_.times.sample_seconds);
  return absl::OkStatus();
}

absl::Status Engine::Download() {
  Stopwatch watch;
  const size_t samples = batch_.samples.size();
  SPARSED_RETURN_IF_ERROR(CopyVectorOut(*backend_, results_.tokens, buffers_.tokens, samples));
  SPARSED_RETURN_IF_ERROR(
      CopyVectorOut(*backend_, results_.confidences, buffers_.confidences, samples));
  SPARSED_RETURN_IF_ERROR(
      CopyVectorOut(*backend_, results_.chosen, buffers_.chosen, batch_.num_chosen));
  watch.Lap(workspace_.times.sample_seconds);
  return absl::OkStatus();
}

absl::Status Engine::MeasureDensities() {
  for (const BatchEntry& entry : batch_.entries) {
    if (entry.kind != StepKind::kSelect) continue;
    SPARSED_ASSIGN_OR_RETURN(entry.sequence->density, entry.sequence->masks->Density(*backend_));
  }
  return absl::OkStatus();
}

SequenceStep Engine::Advance(const BatchEntry& entry) {
  Sequence& sequence = *entry.sequence;
  SequenceStep step;
  step.id = entry.id;
  step.kind = entry.kind;
  step.step = sequence.next_step;
  if (HasNan(entry)) {
    sequence.finished = true;
    step.finished = true;
    step.error = absl::InternalError(
        absl::StrCat("the logits of denoising step ", sequence.next_step, " hold NaN"));
    return step;
  }
  ApplyChosen(entry, step);
  Count(entry.kind, sequence.counts);
  ++sequence.next_step;
  step.block_finished = entry.step.last_of_block;
  const SamplingParams& sampling = sequence.request.sampling;
  sequence.finished = sequence.next_step == sampling.steps ||
                      (step.block_finished && sampling.stop_at_end &&
                       TextEnded(sequence, model_info(), entry.step.block_end));
  step.finished = sequence.finished;
  return step;
}

bool Engine::HasNan(const BatchEntry& entry) const {
  const auto first = results_.confidences.begin() + entry.first_sample;
  return std::any_of(first, first + entry.num_samples, [](float c) { return std::isnan(c); });
}

void Engine::ApplyChosen(const BatchEntry& entry, SequenceStep& step) {
  step.commits.reserve(entry.num_chosen);
  for (int32_t i = 0; i < entry.num_chosen; ++i) {
    const int32_t sample = results_.chosen[entry.first_chosen + i];
    const Commit commit = {batch_.canvas_indices[sample], results_.tokens[sample],
                           results_.confidences[sample]};
    if (ApplyCommit(*entry.sequence, commit, model_info().mask_token_id)) {
      step.commits.push_back(commit);
    }
  }
}

}  // namespace sparsed::engine
