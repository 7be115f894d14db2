// A generation that came by HTTP: what the engine tells of it waits here for the thread of its
// connection, which writes it.
// Next: server/submit.h
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "server/access_log.h"
#include "server/http_connection.h"
#include "server/inspection_outbox.h"
#include "server/open_streams.h"
#include "server/stream.h"

namespace sparsed::server {

template <typename OutboxType>
class HttpCallOf final : public StreamOf<OutboxType> {
 public:
  using Event = typename OutboxType::Event;

  // `open` has it until Serve has returned or nothing refers to it.
  static std::shared_ptr<HttpCallOf> Create(const AccessLog* access, OpenStreams* open,
                                            std::shared_ptr<HttpConnection> connection,
                                            CallInfo info, OutboxType outbox = OutboxType());
  ~HttpCallOf() override;

  void OnResult(const v1::GenerateResponse& result, const RunStats& stats) override;
  void OnFailure(const Failure& failure, const RunStats& stats) override;

  // For what is done with an event; returns whether the client could be reached.
  using Write = std::function<bool(const Event& event)>;
  // Until the call has ended: hands over its events one by one, and calls `idle` where there has
  // been none for `interval`. A client that goes away cancels the call. Returns how it failed, or
  // nothing. Once, on the connection's thread.
  std::optional<Failure> Serve(const Write& write, Duration interval,
                               const std::function<bool()>& idle);
  // The client is gone before Serve: the call ends, and nobody waits for it.
  void Abandon();

 private:
  HttpCallOf(const AccessLog* access, OpenStreams* open, std::shared_ptr<HttpConnection> connection,
             CallInfo info, OutboxType outbox);
  void StartWrite(const Event& event) override;
  void FinishCall(const Failure* failure) override;
  void AbortCall() override { connection_->Abort(); }

  const AccessLog* const access_;
  OpenStreams* const open_;
  const std::shared_ptr<HttpConnection> connection_;
  const CallInfo info_;
  std::mutex mu_;
  // The members below are guarded by mu_.
  std::condition_variable changed_;
  std::optional<Event> event_;  // to be written
  std::optional<Failure> failure_;
  bool ended_ = false;      // FinishCall was called
  bool abandoned_ = false;  // what comes is not written
};

using HttpCall = HttpCallOf<Outbox>;
using HttpInspectCall = HttpCallOf<InspectionOutbox>;

}  // namespace sparsed::server
