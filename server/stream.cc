#include "server/stream.h"

#include <type_traits>
#include <utility>

#include "server/inspection_outbox.h"

namespace sparsed::server {

template <typename OutboxType>
std::optional<Failure> StreamOf<OutboxType>::ExpectInspection(const v1::InspectionStarted& started,
                                                              int64_t bytes) {
  std::optional<Failure> failure;
  if constexpr (std::is_same_v<OutboxType, InspectionOutbox>) {
    Update([&](OutboxType& outbox) { failure = outbox.Expect(started, bytes); });
  }
  return failure;
}

template <typename OutboxType>
void StreamOf<OutboxType>::OnInspected(engine::InspectedStep step) {
  if constexpr (std::is_same_v<OutboxType, InspectionOutbox>) {
    Update([&](OutboxType& outbox) { outbox.Add(std::move(step)); });
  }
}

template <typename OutboxType>
void StreamOf<OutboxType>::OnResult(const v1::GenerateResponse& result, const RunStats&) {
  {
    const std::lock_guard lock(mu_);
    outbox_.AddFinal(result);
    ended_ = true;
  }
  Pump();
}

template <typename OutboxType>
void StreamOf<OutboxType>::OnFailure(const Failure& failure, const RunStats&) {
  {
    const std::lock_guard lock(mu_);
    failure_ = failure;
    ended_ = true;
  }
  Pump();
}

template <typename OutboxType>
void StreamOf<OutboxType>::WriteDone(bool ok) {
  if (!ok) MarkCancelled();
  {
    const std::lock_guard lock(mu_);
    writing_ = false;
    if (!ok) broken_ = true;
  }
  Pump();
}

template <typename OutboxType>
bool StreamOf<OutboxType>::CheckReader(TimePoint now, Duration limit) {
  bool abort = false;
  {
    const std::lock_guard lock(mu_);
    if (!writing_ || !(outbox_.holds_committed() || ended_)) {
      stalled_write_ = 0;
      return false;
    }
    if (stalled_write_ != writes_) {
      stalled_write_ = writes_;
      stalled_since_ = now;
      return false;
    }
    if (now - stalled_since_ < limit) return false;
    stalled_since_ = now;
    abort = ended_ || too_slow_;
    too_slow_ = true;
  }
  if (abort) AbortCall();
  return true;
}

template <typename OutboxType>
void StreamOf<OutboxType>::Pump() {
  std::optional<Event> event;
  std::optional<Failure> failure;
  {
    const std::lock_guard lock(mu_);
    if (writing_ || finished_) return;
    if (!failure_ && !broken_) event = outbox_.Next();
    if (event) {
      writing_ = true;
      ++writes_;
    } else if (failure_ || (ended_ && (broken_ || outbox_.final_sent()))) {
      finished_ = true;
      failure = std::move(failure_);
    } else {
      return;
    }
  }
  if (event) {
    StartWrite(*event);
  } else {
    FinishCall(failure ? &*failure : nullptr);
  }
}

template class StreamOf<Outbox>;
template class StreamOf<InspectionOutbox>;

}  // namespace sparsed::server
