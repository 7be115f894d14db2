// The calls that generate as gRPC's callback API knows them.
// Next: server/queue.h
#pragma once

#include <grpc/grpc.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "server/access_log.h"
#include "server/event_sink.h"
#include "server/inspection_outbox.h"
#include "server/open_streams.h"
#include "server/stream.h"
#include "server/wire.h"

namespace sparsed::server {

// In the initial metadata of a call that is answered; before its first message. A call that fails
// with nothing sent must have none: clients retry only what ends with its first headers.
void SendRequestId(grpc::CallbackServerContext* context, const std::string& id);

// Ends a call: sets the trailers of the failure, its id among them, on the context. Null: OK.
grpc::Status EndStatus(grpc::CallbackServerContext* context, const Failure* failure,
                       const std::string& request_id);

// Generate. Lives until gRPC's OnDone, and longer where the engine still holds it.
class UnaryCall final : public grpc::ServerUnaryReactor, public EventSink {
 public:
  // What the client gets for a result.
  using Format = std::function<grpc::ByteBuffer(const v1::GenerateResponse&)>;

  static std::shared_ptr<UnaryCall> Create(
      grpc::CallbackServerContext* context, grpc::ByteBuffer* response, const AccessLog* access,
      CallInfo info, Format format = [](const auto& result) { return SerializeMessage(result); });

  bool cancelled() const override { return cancelled_.load(std::memory_order_relaxed); }
  void OnProgress(const v1::Progress&) override {}
  void OnFrame(const v1::Frame&) override {}
  void OnBlock(const v1::Block&) override {}
  void OnResult(const v1::GenerateResponse& result, const RunStats& stats) override;
  void OnFailure(const Failure& failure, const RunStats& stats) override;

  void OnCancel() override { cancelled_.store(true, std::memory_order_relaxed); }
  void OnDone() override { self_.reset(); }

 private:
  UnaryCall() = default;

  grpc::CallbackServerContext* context_ = nullptr;
  grpc::ByteBuffer* response_ = nullptr;
  const AccessLog* access_ = nullptr;
  CallInfo info_;
  Format format_;
  std::atomic<bool> cancelled_ = false;
  std::shared_ptr<UnaryCall> self_;  // until OnDone
};

// StreamGenerate, or another call that streams what an outbox holds.
template <typename OutboxType>
class StreamCallOf : public grpc::ServerWriteReactor<grpc::ByteBuffer>,
                     public StreamOf<OutboxType> {
 public:
  // `open` has it until OnDone.
  static std::shared_ptr<StreamCallOf> Create(grpc::CallbackServerContext* context,
                                              const AccessLog* access, OpenStreams* open,
                                              CallInfo info, OutboxType outbox = OutboxType());
  ~StreamCallOf() override;

  void OnResult(const v1::GenerateResponse& result, const RunStats& stats) override;
  void OnFailure(const Failure& failure, const RunStats& stats) override;

  void OnWriteDone(bool ok) override { this->WriteDone(ok); }
  void OnCancel() override { this->MarkCancelled(); }
  void OnDone() override;

 private:
  explicit StreamCallOf(OutboxType outbox) : StreamOf<OutboxType>(std::move(outbox)) {}
  void StartWrite(const typename OutboxType::Event& event) override;
  void FinishCall(const Failure* failure) override;
  void AbortCall() override;

  grpc::CallbackServerContext* context_ = nullptr;
  grpc_call* call_ = nullptr;  // a reference: outlives the context
  const AccessLog* access_ = nullptr;
  OpenStreams* open_ = nullptr;
  CallInfo info_;
  bool id_sent_ = false;      // changes between writes, of which there is one at a time
  grpc::ByteBuffer writing_;  // unchanged until OnWriteDone
  std::shared_ptr<StreamCallOf> self_;
};

using StreamCall = StreamCallOf<Outbox>;
using InspectCall = StreamCallOf<InspectionOutbox>;

}  // namespace sparsed::server
