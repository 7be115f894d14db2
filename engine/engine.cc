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

// Bytes of inputs and results that a packed row can need: ids, positions, head rows, query rows
// with their positions, and the query rows of the head rows; a token, a confidence, a
// log-probability and a place among the chosen, and a count for the sequence.
constexpr int64_t kInputBytesPerRow = 6 * sizeof(int32_t);
constexpr int64_t kResultBytesPerRow = 4 * sizeof(int32_t) + sizeof(int64_t);

// Appends `values` and returns where they will be on the device.
const int32_t* Append(const std::vector<int32_t>& values, const kernels::Buffer& device,
                      std::vector<int32_t>& inputs) {
  const size_t first = inputs.size();
  inputs.insert(inputs.end(), values.begin(), values.end());
  return device.as<int32_t>() + first;
}

template <typename T>
T* At(const kernels::Buffer& buffer, size_t offset) {
  return reinterpret_cast<T*>(buffer.as<char>() + offset);
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
      row_alignment_(backend_->Info().row_alignment),
      splits_keys_(backend_->Info().splits_keys) {}

absl::Status Engine::Allocate() {
  const int64_t rows = AlignedRows(options_.max_batch_tokens, row_alignment_);
  SPARSED_ASSIGN_OR_RETURN(workspace_, Workspace::Create(*backend_, model_info(), rows));
  workspace_.time_parts = options_.time_parts;
  SPARSED_ASSIGN_OR_RETURN(buffers_.inputs, backend_->Alloc(rows * kInputBytesPerRow));
  SPARSED_ASSIGN_OR_RETURN(buffers_.results, backend_->Alloc(rows * kResultBytesPerRow));
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
    if (plan.recall_every > 0) {
      reservation.mask_cache_bytes += RecallMonitor::DeviceBytes(plan, model_info());
    }
    if (plan.budgets == HeadBudgets::kByMass) {
      reservation.mask_cache_bytes += MassBudgets::DeviceBytes(plan, model_info());
    }
  }
  if (request.inspect) {
    const InspectParams resolved = ResolveInspection(*request.inspect, plan, model_info());
    reservation.mask_cache_bytes += Inspection::DeviceBytes(resolved, plan, model_info());
    reservation.inspection_bytes = Inspection::HostBytes(resolved, plan);
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
    if (sequence.plan.recall_every > 0) {
      SPARSED_ASSIGN_OR_RETURN(sequence.recall_monitor,
                               RecallMonitor::Create(*backend_, sequence.plan, model_info()));
    }
    if (sequence.plan.budgets == HeadBudgets::kByMass) {
      SPARSED_ASSIGN_OR_RETURN(sequence.mass_budgets,
                               MassBudgets::Create(*backend_, sequence.plan, model_info()));
    }
  }
  if (request.inspect) {
    SPARSED_ASSIGN_OR_RETURN(
        sequence.inspection,
        Inspection::Create(*backend_,
                           ResolveInspection(*request.inspect, sequence.plan, model_info()),
                           sequence.plan, model_info()));
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

void Engine::SetCanvasForTest(SequenceId id, std::span<const int32_t> canvas_ids,
                              int32_t next_step) {
  const auto found = sequences_.find(id);
  SPARSED_CHECK(found != sequences_.end(), "no such sequence");
  Sequence& sequence = found->second;
  SPARSED_CHECK(canvas_ids.size() == sequence.request.canvas.size(), "not G ids");
  for (size_t i = 0; i < canvas_ids.size(); ++i) {
    sequence.ids[sequence.request.canvas[i]] = canvas_ids[i];
  }
  sequence.next_step = sequence.schedule_step = next_step;
  sequence.finished = next_step == sequence.request.sampling.steps;
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
  StepTimes& times = workspace_.times;
  total.Lap(times.total_seconds);
  if (options_.time_parts) {
    double not_the_steps = 0;
    SPARSED_RETURN_IF_ERROR(backend_->ReadMarks(times.part_seconds));
    total.Lap(not_the_steps);
  }
  SetDensities();
  for (size_t i = 0; i < batch_.entries.size(); ++i) {
    steps.push_back(Advance(i));
  }
  total.Lap(times.total_seconds);
  times.batch_tokens = static_cast<int64_t>(batch_.ids.size());
  times.query_rows = batch_.num_query_rows;
  times.head_rows = static_cast<int64_t>(batch_.head_rows.size());
  return steps;
}

// Everything that can fail comes before the first sequence changes. The host waits for the device
// once, for the results; in a step that is looked into for what is read of it, too.
absl::Status Engine::RunStep() {
  constexpr int32_t kNoPart = -1;
  if (options_.time_parts) SPARSED_RETURN_IF_ERROR(backend_->Mark(kNoPart));
  PackedBatch packed;
  SPARSED_RETURN_IF_ERROR(Upload(packed));
  SPARSED_RETURN_IF_ERROR(UploadHeadCounts());
  SPARSED_RETURN_IF_ERROR(workspace_.EndPart(*backend_, StepPart::kCopy));
  SPARSED_RETURN_IF_ERROR(model_->Forward(*backend_, packed, workspace_));
  SPARSED_RETURN_IF_ERROR(Sample());
  SPARSED_RETURN_IF_ERROR(CountKeptTiles());
  SPARSED_RETURN_IF_ERROR(workspace_.EndPart(*backend_, StepPart::kSample));
  SPARSED_RETURN_IF_ERROR(Download());
  SPARSED_RETURN_IF_ERROR(ReadInspections());
  SPARSED_RETURN_IF_ERROR(ReadRecalls());
  SPARSED_RETURN_IF_ERROR(ReadPatterns());
  SPARSED_RETURN_IF_ERROR(ReadBudgets());
  return workspace_.EndPart(*backend_, StepPart::kCopy);
}

absl::Status Engine::Upload(PackedBatch& packed) {
  inputs_.clear();
  packed.num_rows = static_cast<int64_t>(batch_.ids.size());
  packed.ids = Append(batch_.ids, buffers_.inputs, inputs_);
  packed.positions = Append(batch_.positions, buffers_.inputs, inputs_);
  packed.passes = batch_.passes;
  packed.head_rows = Append(batch_.head_rows, buffers_.inputs, inputs_);
  packed.num_head_rows = static_cast<int64_t>(batch_.head_rows.size());
  packed.head_query_rows = Append(batch_.head_query_rows, buffers_.inputs, inputs_);
  packed.ranges = batch_.ranges;
  packed.splits_keys = splits_keys_;
  packed.num_query_rows = batch_.num_query_rows;
  if (!batch_.query_rows.empty()) {
    packed.query_rows = Append(batch_.query_rows, buffers_.inputs, inputs_);
    packed.query_positions = Append(batch_.query_positions, buffers_.inputs, inputs_);
  }
  return backend_->CopyIn(buffers_.inputs.data(), inputs_.data(), inputs_.size() * sizeof(int32_t));
}

absl::Status Engine::UploadHeadCounts() {
  for (const BatchEntry& entry : batch_.entries) {
    Sequence& sequence = *entry.sequence;
    if (!sequence.UsesHeadCountsNext()) continue;
    SPARSED_RETURN_IF_ERROR(sequence.mass_budgets->Upload(*backend_, sequence.head_counts));
  }
  return absl::OkStatus();
}

absl::Status Engine::Sample() {
  const size_t samples = batch_.samples.size();
  layout_.tokens = batch_.entries.size() * sizeof(int64_t);
  layout_.confidences = layout_.tokens + samples * sizeof(int32_t);
  layout_.log_probabilities = layout_.confidences + samples * sizeof(float);
  layout_.chosen = layout_.log_probabilities + (batch_.has_targets ? samples * sizeof(float) : 0);
  layout_.bytes = layout_.chosen + static_cast<size_t>(batch_.num_chosen) * sizeof(int32_t);
  auto* tokens = At<int32_t>(buffers_.results, layout_.tokens);
  auto* confidences = At<float>(buffers_.results, layout_.confidences);
  auto* log_probabilities =
      batch_.has_targets ? At<float>(buffers_.results, layout_.log_probabilities) : nullptr;
  for (const LogitChunk& chunk : batch_.chunks) {
    const kernels::TensorView logits = workspace_.logits(chunk.num_head_rows);
    SPARSED_RETURN_IF_ERROR(
        model_->Logits(*backend_, workspace_, chunk.first_head_row, chunk.num_head_rows, logits));
    SPARSED_RETURN_IF_ERROR(backend_->SampleRows(
        logits, std::span(batch_.samples).subspan(chunk.first_sample, chunk.num_samples),
        {tokens + chunk.first_sample, confidences + chunk.first_sample,
         batch_.has_targets ? log_probabilities + chunk.first_sample : nullptr}));
    SPARSED_RETURN_IF_ERROR(workspace_.EndPart(*backend_, StepPart::kSample));
  }
  return backend_->CommitRows(confidences, batch_.groups,
                              At<int32_t>(buffers_.results, layout_.chosen));
}

absl::Status Engine::CountKeptTiles() {
  auto* kept_tiles = At<int64_t>(buffers_.results, layout_.kept_tiles);
  for (size_t i = 0; i < batch_.entries.size(); ++i) {
    const BatchEntry& entry = batch_.entries[i];
    if (entry.kind != StepKind::kSelect) continue;
    SPARSED_RETURN_IF_ERROR(entry.sequence->masks->CountKept(*backend_, kept_tiles + i));
  }
  return absl::OkStatus();
}

absl::Status Engine::Download() {
  results_.bytes.resize(layout_.bytes);
  SPARSED_RETURN_IF_ERROR(
      backend_->CopyOut(results_.bytes.data(), buffers_.results.data(), layout_.bytes));
  const char* bytes = results_.bytes.data();
  results_.kept_tiles = reinterpret_cast<const int64_t*>(bytes + layout_.kept_tiles);
  results_.tokens = reinterpret_cast<const int32_t*>(bytes + layout_.tokens);
  results_.confidences = reinterpret_cast<const float*>(bytes + layout_.confidences);
  results_.log_probabilities =
      batch_.has_targets ? reinterpret_cast<const float*>(bytes + layout_.log_probabilities)
                         : nullptr;
  results_.chosen = reinterpret_cast<const int32_t*>(bytes + layout_.chosen);
  return absl::OkStatus();
}

absl::Status Engine::ReadInspections() {
  inspected_.assign(batch_.entries.size(), InspectedStep());
  for (size_t i = 0; i < batch_.entries.size(); ++i) {
    const BatchEntry& entry = batch_.entries[i];
    const Sequence& sequence = *entry.sequence;
    if (!sequence.InspectsNext()) continue;
    std::span<const kernels::BlockMaskView> in_use;
    if (entry.kind == StepKind::kSparse) in_use = sequence.masks->Layers(/*pass=*/0);
    SPARSED_ASSIGN_OR_RETURN(inspected_[i], sequence.inspection->Read(*backend_, sequence.next_step,
                                                                      entry.kind, in_use));
  }
  return absl::OkStatus();
}

absl::Status Engine::ReadRecalls() {
  recalls_.assign(batch_.entries.size(), std::nullopt);
  for (size_t i = 0; i < batch_.entries.size(); ++i) {
    const Sequence& sequence = *batch_.entries[i].sequence;
    if (!sequence.EstimatesNext()) continue;
    SPARSED_ASSIGN_OR_RETURN(recalls_[i],
                             sequence.recall_monitor->Read(*backend_, sequence.request.canvas,
                                                           sequence.masks->Layers(/*pass=*/0)));
  }
  return absl::OkStatus();
}

void Engine::SetDensities() {
  for (size_t i = 0; i < batch_.entries.size(); ++i) {
    const BatchEntry& entry = batch_.entries[i];
    if (entry.kind != StepKind::kSelect) continue;
    entry.sequence->density = static_cast<double>(results_.kept_tiles[i]) /
                              static_cast<double>(entry.sequence->masks->num_tiles());
  }
}

absl::Status Engine::ReadPatterns() {
  patterns_.assign(batch_.entries.size(), {});
  for (size_t i = 0; i < batch_.entries.size(); ++i) {
    const Sequence& sequence = *batch_.entries[i].sequence;
    if (!sequence.ComparesNext()) continue;
    SPARSED_ASSIGN_OR_RETURN(patterns_[i], sequence.masks->Read(*backend_));
  }
  return absl::OkStatus();
}

absl::Status Engine::ReadBudgets() {
  measured_.assign(batch_.entries.size(), {});
  for (size_t i = 0; i < batch_.entries.size(); ++i) {
    const Sequence& sequence = *batch_.entries[i].sequence;
    if (!sequence.MeasuresNext()) continue;
    SPARSED_ASSIGN_OR_RETURN(measured_[i], sequence.mass_budgets->Read(*backend_));
  }
  return absl::OkStatus();
}

// After the step of the batch's entry `index`.
SequenceStep Engine::Advance(size_t index) {
  const BatchEntry& entry = batch_.entries[index];
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
  if (sequence.InspectsNext()) sequence.inspection->Remember(inspected_[index]);
  step.inspected = std::move(inspected_[index]);
  step.recall = recalls_[index];
  ApplyChosen(entry, step);
  Count(entry.kind, sequence.counts);
  sequence.NoteStep(entry.kind, std::move(patterns_[index]), step.recall,
                    std::move(measured_[index]));
  ++sequence.next_step;
  ++sequence.schedule_step;
  const SamplingParams& sampling = sequence.request.sampling;
  // Of the positions that competed none is left.
  const bool all_committed = static_cast<int32_t>(step.commits.size()) == entry.num_samples;
  if (sampling.confidence_threshold && all_committed) sequence.schedule_step = entry.step.end;
  step.block_finished = sequence.schedule_step == entry.step.end;
  sequence.finished = sequence.schedule_step == sampling.steps ||
                      (step.block_finished && sampling.stop_at_end &&
                       TextEnded(sequence, model_info(), entry.step.block_end));
  step.finished = sequence.finished;
  return step;
}

bool Engine::HasNan(const BatchEntry& entry) const {
  const float* first = results_.confidences + entry.first_sample;
  return std::any_of(first, first + entry.num_samples, [](float c) { return std::isnan(c); });
}

// The entry's samples at its confidence threshold or above, as CommitRows orders them.
std::vector<int32_t> Engine::SureSamples(const BatchEntry& entry) const {
  std::vector<int32_t> sure;
  const std::optional<float> threshold = entry.sequence->request.sampling.confidence_threshold;
  if (!threshold) return sure;
  const float* confidences = results_.confidences;
  for (int32_t i = entry.first_sample; i < entry.first_sample + entry.num_samples; ++i) {
    if (confidences[i] >= *threshold) sure.push_back(i);
  }
  std::stable_sort(sure.begin(), sure.end(),
                   [confidences](int32_t a, int32_t b) { return confidences[a] > confidences[b]; });
  return sure;
}

// The scheduled commits are the most confident samples, so that one of these two holds the other.
void Engine::ApplyChosen(const BatchEntry& entry, SequenceStep& step) {
  const std::vector<int32_t> sure = SureSamples(entry);
  std::span<const int32_t> chosen(results_.chosen + entry.first_chosen, entry.num_chosen);
  if (sure.size() > chosen.size()) chosen = sure;
  step.commits.reserve(chosen.size());
  for (const int32_t sample : chosen) {
    Commit commit = {batch_.canvas_indices[sample], results_.tokens[sample],
                     results_.confidences[sample]};
    if (results_.log_probabilities != nullptr) {
      commit.log_probability = results_.log_probabilities[sample];
    }
    if (ApplyCommit(*entry.sequence, commit, model_info().mask_token_id)) {
      step.commits.push_back(commit);
    }
  }
}

}  // namespace sparsed::engine
