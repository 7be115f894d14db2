#include "server/active_request.h"

#include <google/protobuf/duration.pb.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "server/inspection.h"

namespace sparsed::server {
namespace {

constexpr std::chrono::milliseconds kProgressInterval(100);
constexpr char kMaskMark[] = "\xE2\x96\x91";  // U+2591

void SetDuration(double seconds, google::protobuf::Duration* out) {
  const auto nanos = static_cast<int64_t>(std::llround(seconds * 1e9));
  out->set_seconds(nanos / 1000000000);
  out->set_nanos(static_cast<int32_t>(nanos % 1000000000));
}

}  // namespace

ActiveRequest::ActiveRequest(Ticket ticket, engine::SequenceId id,
                             const engine::Tokenizer* tokenizer, const engine::ModelInfo* model,
                             TimePoint started)
    : ticket_(std::move(ticket)),
      id_(id),
      tokenizer_(tokenizer),
      model_(model),
      assembler_(tokenizer, ticket_.valid.text_options, ticket_.valid.parts),
      started_(started) {}

void ActiveRequest::OnStep(engine::SequenceStep& step, const engine::Sequence& sequence,
                           double seconds, TimePoint now) {
  steps_done_ = step.step + 1;
  committed_ += static_cast<int32_t>(step.commits.size());
  switch (step.kind) {
    case engine::StepKind::kFull:
      full_seconds_ += seconds;
      break;
    case engine::StepKind::kSelect:
      select_seconds_ += seconds;
      break;
    case engine::StepKind::kSparse:
      sparse_seconds_ += seconds;
      break;
  }
  for (const engine::Commit& commit : step.commits) {
    assembler_.Commit(commit.canvas_index, commit.token);
  }
  SendText(assembler_.Take(), sequence, now);
  if (!step.inspected.heads.empty()) ticket_.sink->OnInspected(std::move(step.inspected));
  // The rest of a decoding block is computed even where a stop string has cut the text: its tokens
  // are part of the result.
  done_ = step.finished || (step.block_finished && assembler_.complete());
  if (ticket_.wants_progress) SendProgress(step, now);
  if (ticket_.wants_frames) SendFrame(sequence);
}

std::optional<double> ActiveRequest::TakeFirstBlockSeconds() {
  return std::exchange(first_block_seconds_, std::nullopt);
}

void ActiveRequest::Complete(const engine::Sequence& sequence, TimePoint now) {
  SendText(assembler_.Finish(), sequence, now);
  result_ = Result(sequence, now);
  result_stats_ = Stats(now);
}

void ActiveRequest::SendResult() { ticket_.sink->OnResult(result_, result_stats_); }

void ActiveRequest::Fail(const Failure& failure, TimePoint now) {
  ticket_.sink->OnFailure(failure, Stats(now));
}

void ActiveRequest::SendText(const std::string& text, const engine::Sequence& sequence,
                             TimePoint now) {
  if (text.empty()) return;
  text_ += text;
  if (!std::exchange(sent_text_, true)) first_block_seconds_ = Seconds(now - ticket_.arrival);
  v1::Block block;
  block.set_position(static_cast<uint32_t>(sent_positions_));
  block.set_text(text);
  for (; sent_positions_ < assembler_.taken_positions(); ++sent_positions_) {
    // At the end the rest of the canvas counts as taken, computed or not.
    if (sequence.commit_steps[sent_positions_] < 0) break;
    const int32_t row = ticket_.valid.request.canvas[sent_positions_];
    block.add_token_ids(static_cast<uint32_t>(sequence.ids[row]));
  }
  ticket_.sink->OnBlock(block);
}

void ActiveRequest::SendProgress(const engine::SequenceStep& step, TimePoint now) {
  if (last_progress_ && now - *last_progress_ < kProgressInterval) return;
  last_progress_ = now;
  v1::Progress progress;
  progress.set_step(static_cast<uint32_t>(steps_done_));
  progress.set_steps(static_cast<uint32_t>(ticket_.valid.request.sampling.steps));
  progress.set_committed_tokens(static_cast<uint32_t>(committed_));
  progress.set_kind(ToProto(step.kind));
  ticket_.sink->OnProgress(progress);
}

void ActiveRequest::SendFrame(const engine::Sequence& sequence) {
  v1::Frame frame;
  frame.set_step(static_cast<uint32_t>(steps_done_));
  std::string bytes;
  for (const int32_t row : ticket_.valid.request.canvas) {
    const int32_t id = sequence.ids[row];
    frame.add_token_ids(static_cast<uint32_t>(id));
    bytes += id == model_->mask_token_id ? kMaskMark : tokenizer_->Bytes(id, false);
  }
  frame.set_text(engine::ToValidUtf8(bytes));
  ticket_.sink->OnFrame(frame);
}

v1::GenerateResponse ActiveRequest::Result(const engine::Sequence& sequence, TimePoint now) const {
  v1::GenerateResponse result;
  result.set_request_id(ticket_.request_id);
  result.set_model(ticket_.model);
  result.set_text(text_);
  result.set_finish_reason(assembler_.stopped() ? v1::FINISH_REASON_STOP
                                                : v1::FINISH_REASON_LENGTH);
  result.set_seed(ticket_.valid.request.sampling.seed);
  std::vector<int32_t> canvas = sequence.CanvasIds(*model_);
  // Where a stop string has ended the request, the engine does not know that it is over.
  std::fill(canvas.begin() + sequence.ComputedTokens(), canvas.end(),
            model_->end_token_ids.front());
  for (const int32_t id : canvas) result.add_token_ids(static_cast<uint32_t>(id));
  if (ticket_.valid.token_confidences) {
    for (size_t i = 0; i < canvas.size(); ++i) {
      v1::TokenDetail* token = result.add_tokens();
      token->set_id(static_cast<uint32_t>(canvas[i]));
      token->set_confidence(sequence.confidences[i]);
      if (!sequence.log_probabilities.empty()) {
        token->set_log_probability(sequence.log_probabilities[i]);
      }
      // A position that was never computed: one past the last step there could have been.
      const int32_t step = sequence.commit_steps[i];
      token->set_commit_step(
          static_cast<uint32_t>(step < 0 ? ticket_.valid.request.sampling.steps : step));
    }
  }
  if (ticket_.valid.infill) {
    for (const std::string& hole : assembler_.HoleTexts()) result.add_hole_texts(hole);
  }
  FillReport(sequence, &result);
  v1::Timings* timings = result.mutable_timings();
  SetDuration(Seconds(started_ - ticket_.arrival), timings->mutable_queue());
  SetDuration(full_seconds_, timings->mutable_full());
  SetDuration(select_seconds_, timings->mutable_select());
  SetDuration(sparse_seconds_, timings->mutable_sparse());
  SetDuration(Seconds(now - ticket_.arrival), timings->mutable_total());
  return result;
}

void ActiveRequest::FillReport(const engine::Sequence& sequence,
                               v1::GenerateResponse* result) const {
  v1::Usage* usage = result->mutable_usage();
  usage->set_prompt_tokens(static_cast<uint32_t>(ticket_.valid.prompt_tokens()));
  usage->set_generated_tokens(static_cast<uint32_t>(committed_));
  usage->set_full_steps(static_cast<uint32_t>(sequence.counts.full));
  usage->set_select_steps(static_cast<uint32_t>(sequence.counts.select));
  usage->set_sparse_steps(static_cast<uint32_t>(sequence.counts.sparse));
  v1::SparseReport* sparse = result->mutable_sparse();
  sparse->set_used(sequence.plan.used);
  if (!sequence.plan.used) return;
  sparse->set_block_size(static_cast<uint32_t>(sequence.plan.block_size));
  sparse->set_skip(static_cast<float>(sequence.plan.skip));
  sparse->set_select(static_cast<float>(sequence.plan.select));
  sparse->set_density(static_cast<float>(sequence.density));
  if (sequence.first_sparse_step) {
    sparse->set_first_sparse_step(static_cast<uint32_t>(*sequence.first_sparse_step));
  }
  const engine::RecallCounts& recalls = sequence.recalls;
  if (recalls.estimates > 0) {
    sparse->set_recall(static_cast<float>(recalls.sum / recalls.estimates));
    sparse->set_lowest_recall(static_cast<float>(recalls.lowest));
    sparse->set_recall_estimates(static_cast<uint32_t>(recalls.estimates));
    sparse->set_estimates_below_floor(static_cast<uint32_t>(recalls.below_floor));
  }
  if (sequence.masks) {
    sparse->set_mask_cache_bytes(static_cast<uint64_t>(sequence.masks->bytes()));
  }
}

RunStats ActiveRequest::Stats(TimePoint now) const {
  RunStats stats;
  stats.queue_seconds = Seconds(started_ - ticket_.arrival);
  stats.run_seconds = Seconds(now - started_);
  stats.total_seconds = Seconds(now - ticket_.arrival);
  stats.steps = steps_done_;
  stats.prompt_tokens = ticket_.valid.prompt_tokens();
  stats.generated_tokens = committed_;
  return stats;
}

}  // namespace sparsed::server
