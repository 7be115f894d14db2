#include "server/stream.h"

#include <utility>

namespace sparsed::server {

void Stream::OnProgress(const v1::Progress& progress) {
  {
    const std::lock_guard lock(mu_);
    outbox_.Add(progress);
  }
  Pump();
}

void Stream::OnFrame(const v1::Frame& frame) {
  {
    const std::lock_guard lock(mu_);
    outbox_.Add(frame);
  }
  Pump();
}

void Stream::OnBlock(const v1::Block& block) {
  {
    const std::lock_guard lock(mu_);
    outbox_.Add(block);
  }
  Pump();
}

void Stream::OnResult(const v1::GenerateResponse& result, const RunStats&) {
  {
    const std::lock_guard lock(mu_);
    outbox_.AddFinal(result);
    ended_ = true;
  }
  Pump();
}

void Stream::OnFailure(const Failure& failure, const RunStats&) {
  {
    const std::lock_guard lock(mu_);
    failure_ = failure;
    ended_ = true;
  }
  Pump();
}

void Stream::Accept(const v1::Accepted& accepted) {
  {
    const std::lock_guard lock(mu_);
    outbox_.Accept(accepted);
  }
  Pump();
}

void Stream::WriteDone(bool ok) {
  if (!ok) MarkCancelled();
  {
    const std::lock_guard lock(mu_);
    writing_ = false;
    if (!ok) broken_ = true;
  }
  Pump();
}

bool Stream::CheckReader(TimePoint now, Duration limit) {
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

void Stream::Pump() {
  std::optional<v1::StreamGenerateResponse> event;
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

}  // namespace sparsed::server
