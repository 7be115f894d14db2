// One ModelStreamInfer call: many generations at a time over one stream, each answered whole or as
// its text is committed. A generation that fails is told in a response; the stream goes on.
#pragma once

#include <grpc/grpc.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "inference/grpc_service.pb.h"
#include "server/entry.h"
#include "server/open_streams.h"
#include "server/submit.h"

namespace sparsed::server {

// Lives until gRPC's OnDone, and longer where the engine still holds one of its requests. The lock
// is never held while gRPC or the engine's parts are called.
class InferStream final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                          public OpenStream,
                          public std::enable_shared_from_this<InferStream> {
 public:
  // All borrowed for the call.
  struct Parts {
    const ServerState* state = nullptr;
    const Submitter* submitter = nullptr;
    const AccessLog* access = nullptr;
    const Entry* entry = nullptr;
    OpenStreams* open_streams = nullptr;
  };
  // The reactor of a new call; `refused` ends it at once.
  static InferStream* Start(grpc::CallbackServerContext* context, Parts parts, CallInfo info,
                            const std::optional<Failure>& refused);
  ~InferStream() override;

  bool CheckReader(TimePoint now, Duration limit) override;

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override { cancelled_.store(true); }
  void OnDone() override;

 private:
  class Request;
  // A response that is not written yet; the text of one request merges while it waits.
  struct Pending {
    uint64_t number = 0;  // of the request
    bool text_only = false;
    std::string text;
    inference::ModelStreamInferResponse response;
  };

  InferStream(grpc::CallbackServerContext* context, Parts parts, CallInfo info);

  // Reads on, unless as many requests run as one stream may have.
  void ReadNext();
  void Begin(const grpc::ByteBuffer& bytes);
  void AddText(const Request& request, const std::string& text);
  // Takes back text of the request that is not written yet.
  std::string TakeText(const Request& request);
  void Add(const Request& request, inference::ModelStreamInferResponse response);
  void EndRequest();
  void Pump();

  grpc::CallbackServerContext* const context_;
  grpc_call* const call_;  // a reference: outlives the context
  const Parts parts_;
  const CallInfo info_;
  const std::chrono::system_clock::time_point deadline_;
  grpc::ByteBuffer read_;              // filled until OnReadDone
  grpc::ByteBuffer write_;             // unchanged until OnWriteDone
  std::shared_ptr<InferStream> self_;  // until OnDone
  std::atomic<bool> cancelled_ = false;
  std::atomic<bool> too_slow_ = false;
  std::mutex mu_;
  // The members below are guarded by mu_.
  std::deque<Pending> pending_;
  int in_flight_ = 0;
  int starting_reads_ = 0;  // calls of StartRead that have not returned
  bool paused_ = false;     // no read is under way: too many requests are
  bool reads_end_ = false;  // the client sends no more
  bool writing_ = false;
  bool broken_ = false;  // a write failed
  bool finished_ = false;
  uint64_t next_number_ = 1;
  uint64_t writes_ = 0;
  uint64_t stalled_write_ = 0;
  TimePoint stalled_since_;
};

}  // namespace sparsed::server
