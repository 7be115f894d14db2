#include "server/inspection_outbox.h"

#include "server/inspection.h"

namespace sparsed::server {

std::optional<Failure> InspectionBudget::Take(int64_t bytes, std::optional<Share>* share) {
  if (bytes > limit_) return NeverFits("max_inspection_bytes", bytes, limit_);
  int64_t used = used_.load();
  do {
    if (bytes > limit_ - used) return InspectionsFull(bytes, used, limit_);
  } while (!used_.compare_exchange_weak(used, used + bytes));
  share->emplace(this, bytes);
  return std::nullopt;
}

std::optional<Failure> InspectionOutbox::Expect(const v1::InspectionStarted& started,
                                                int64_t bytes) {
  started_ = started;
  // Base64 of four bytes a block is 5.4 bytes, the kept bits are a sixth of one more.
  const int64_t json_bytes = int64_t{started.blocks()} * started.blocks() * 6;
  return budget_->Take(bytes + copies_ * json_bytes, &share_);
}

void InspectionOutbox::Accept(const v1::Accepted& accepted) {
  *started_.mutable_accepted() = accepted;
  accepted_ = true;
}

void InspectionOutbox::Add(engine::InspectedStep step) {
  for (const engine::InspectedHead& head : step.heads) {
    if (!head.recall) continue;
    recall_sum_ += *head.recall;
    ++recalls_;
  }
  if (!step.heads.empty()) steps_.push_back(std::move(step));
}

void InspectionOutbox::AddFinal(const v1::GenerateResponse& final_event) {
  final_ = final_event;
  if (recalls_ == 0) return;
  final_->mutable_sparse()->set_recall(
      static_cast<float>(recall_sum_ / static_cast<double>(recalls_)));
}

std::optional<v1::InspectResponse> InspectionOutbox::Next() {
  v1::InspectResponse event;
  if (!started_sent_) {
    if (!accepted_) return std::nullopt;
    started_sent_ = true;
    *event.mutable_started() = started_;
  } else if (!steps_.empty()) {
    engine::InspectedStep& step = steps_.front();
    *event.mutable_head() = ToHeadPattern(step, next_head_);
    step.heads[next_head_] = engine::InspectedHead();
    if (++next_head_ == step.heads.size()) {
      steps_.pop_front();
      next_head_ = 0;
    }
  } else if (final_) {
    final_sent_ = true;
    *event.mutable_final() = *std::move(final_);
    final_.reset();
  } else {
    return std::nullopt;
  }
  return event;
}

}  // namespace sparsed::server
