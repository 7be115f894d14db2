#include "server/http_call.h"

#include <utility>

namespace sparsed::server {
namespace {

// How often it is looked whether the client is still there.
constexpr std::chrono::milliseconds kLook(50);

}  // namespace

template <typename OutboxType>
HttpCallOf<OutboxType>::HttpCallOf(const AccessLog* access, OpenStreams* open,
                                   std::shared_ptr<HttpConnection> connection, CallInfo info,
                                   OutboxType outbox)
    : StreamOf<OutboxType>(std::move(outbox)),
      access_(access),
      open_(open),
      connection_(std::move(connection)),
      info_(std::move(info)) {}

template <typename OutboxType>
std::shared_ptr<HttpCallOf<OutboxType>> HttpCallOf<OutboxType>::Create(
    const AccessLog* access, OpenStreams* open, std::shared_ptr<HttpConnection> connection,
    CallInfo info, OutboxType outbox) {
  std::shared_ptr<HttpCallOf> call(
      new HttpCallOf(access, open, std::move(connection), std::move(info), std::move(outbox)));
  open->Add(call);
  return call;
}

template <typename OutboxType>
HttpCallOf<OutboxType>::~HttpCallOf() {
  open_->Remove(this);
}

template <typename OutboxType>
void HttpCallOf<OutboxType>::OnResult(const v1::GenerateResponse& result, const RunStats& stats) {
  access_->Write(info_, nullptr, stats);
  StreamOf<OutboxType>::OnResult(result, stats);
}

template <typename OutboxType>
void HttpCallOf<OutboxType>::OnFailure(const Failure& failure, const RunStats& stats) {
  access_->Write(info_, &failure, stats);
  StreamOf<OutboxType>::OnFailure(failure, stats);
}

template <typename OutboxType>
void HttpCallOf<OutboxType>::StartWrite(const Event& event) {
  bool dropped = false;
  {
    const std::lock_guard lock(mu_);
    dropped = abandoned_;
    if (!dropped) event_ = event;
  }
  if (dropped) {
    this->WriteDone(false);
  } else {
    changed_.notify_one();
  }
}

template <typename OutboxType>
void HttpCallOf<OutboxType>::FinishCall(const Failure* failure) {
  {
    const std::lock_guard lock(mu_);
    if (failure != nullptr) failure_ = *failure;
    ended_ = true;
  }
  changed_.notify_one();
}

template <typename OutboxType>
std::optional<Failure> HttpCallOf<OutboxType>::Serve(const Write& write, Duration interval,
                                                     const std::function<bool()>& idle) {
  TimePoint idle_since = std::chrono::steady_clock::now();
  while (true) {
    std::optional<Event> event;
    {
      std::unique_lock lock(mu_);
      changed_.wait_for(lock, kLook, [this] { return event_ || ended_; });
      if (event_) {
        event = std::exchange(event_, std::nullopt);
      } else if (ended_) {
        break;
      }
    }
    if (!connection_->is_writable()) this->MarkCancelled();
    if (event) {
      // By OpenStreams: it knows whether anything waits that the client should have read.
      connection_->SetWatched(true);
      const bool written = write(*event);
      connection_->SetWatched(false);
      this->WriteDone(written);
      idle_since = std::chrono::steady_clock::now();
    } else if (std::chrono::steady_clock::now() - idle_since >= interval) {
      if (!idle()) this->MarkCancelled();
      idle_since = std::chrono::steady_clock::now();
    }
  }
  open_->Remove(this);
  const std::lock_guard lock(mu_);
  return failure_;
}

template <typename OutboxType>
void HttpCallOf<OutboxType>::Abandon() {
  this->MarkCancelled();
  bool writing = false;
  {
    const std::lock_guard lock(mu_);
    abandoned_ = true;
    writing = std::exchange(event_, std::nullopt).has_value();
  }
  if (writing) this->WriteDone(false);
}

template class HttpCallOf<Outbox>;
template class HttpCallOf<InspectionOutbox>;

}  // namespace sparsed::server
