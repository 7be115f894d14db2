#include "server/http_call.h"

#include <utility>

namespace sparsed::server {
namespace {

// How often it is looked whether the client is still there.
constexpr std::chrono::milliseconds kLook(50);

}  // namespace

HttpCall::HttpCall(const AccessLog* access, OpenStreams* open,
                   std::shared_ptr<HttpConnection> connection, CallInfo info)
    : access_(access), open_(open), connection_(std::move(connection)), info_(std::move(info)) {}

std::shared_ptr<HttpCall> HttpCall::Create(const AccessLog* access, OpenStreams* open,
                                           std::shared_ptr<HttpConnection> connection,
                                           CallInfo info) {
  std::shared_ptr<HttpCall> call(
      new HttpCall(access, open, std::move(connection), std::move(info)));
  open->Add(call);
  return call;
}

HttpCall::~HttpCall() { open_->Remove(this); }

void HttpCall::OnResult(const v1::GenerateResponse& result, const RunStats& stats) {
  access_->Write(info_, nullptr, stats);
  Stream::OnResult(result, stats);
}

void HttpCall::OnFailure(const Failure& failure, const RunStats& stats) {
  access_->Write(info_, &failure, stats);
  Stream::OnFailure(failure, stats);
}

void HttpCall::StartWrite(const v1::StreamGenerateResponse& event) {
  bool dropped = false;
  {
    const std::lock_guard lock(mu_);
    dropped = abandoned_;
    if (!dropped) event_ = event;
  }
  if (dropped) {
    WriteDone(false);
  } else {
    changed_.notify_one();
  }
}

void HttpCall::FinishCall(const Failure* failure) {
  {
    const std::lock_guard lock(mu_);
    if (failure != nullptr) failure_ = *failure;
    ended_ = true;
  }
  changed_.notify_one();
}

std::optional<Failure> HttpCall::Serve(const Write& write, Duration interval,
                                       const std::function<bool()>& idle) {
  TimePoint idle_since = std::chrono::steady_clock::now();
  while (true) {
    std::optional<v1::StreamGenerateResponse> event;
    {
      std::unique_lock lock(mu_);
      changed_.wait_for(lock, kLook, [this] { return event_ || ended_; });
      if (event_) {
        event = std::exchange(event_, std::nullopt);
      } else if (ended_) {
        break;
      }
    }
    if (!connection_->is_writable()) MarkCancelled();
    if (event) {
      // By OpenStreams: it knows whether anything waits that the client should have read.
      connection_->SetWatched(true);
      const bool written = write(*event);
      connection_->SetWatched(false);
      WriteDone(written);
      idle_since = std::chrono::steady_clock::now();
    } else if (std::chrono::steady_clock::now() - idle_since >= interval) {
      if (!idle()) MarkCancelled();
      idle_since = std::chrono::steady_clock::now();
    }
  }
  open_->Remove(this);
  const std::lock_guard lock(mu_);
  return failure_;
}

void HttpCall::Abandon() {
  MarkCancelled();
  bool writing = false;
  {
    const std::lock_guard lock(mu_);
    abandoned_ = true;
    writing = std::exchange(event_, std::nullopt).has_value();
  }
  if (writing) WriteDone(false);
}

}  // namespace sparsed::server
