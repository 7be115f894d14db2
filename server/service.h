// sparsed.v1.GenerationService: where a request enters.
// Next: server/validate.h
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "server/access_log.h"
#include "server/calls.h"
#include "server/clock.h"
#include "server/queue.h"
#include "server/server_state.h"
#include "server/unary.h"
#include "sparsed/v1/generation.grpc.pb.h"

namespace sparsed::server {

// Takes bytes instead of messages: see server/wire.h.
using RawGenerationService = v1::GenerationService::WithRawCallbackMethod_Generate<
    v1::GenerationService::WithRawCallbackMethod_StreamGenerate<
        v1::GenerationService::WithRawCallbackMethod_Tokenize<
            v1::GenerationService::WithRawCallbackMethod_Detokenize<
                v1::GenerationService::Service>>>>;

// Thread-safe; called by gRPC's threads, none of which it ever blocks.
class GenerationService final : public RawGenerationService {
 public:
  // All borrowed for the service's life.
  struct Parts {
    const ServerState* state = nullptr;
    RequestQueue* queue = nullptr;
    const AccessLog* access = nullptr;
    const Entry* entry = nullptr;
    OpenStreams* open_streams = nullptr;
    Clock clock;
    std::function<uint64_t()> random;  // for seeds; thread-safe
    Duration max_request_time{};
    const StepCosts* costs = nullptr;
  };
  explicit GenerationService(Parts parts) : parts_(std::move(parts)) {}

  grpc::ServerUnaryReactor* Generate(grpc::CallbackServerContext* context,
                                     const grpc::ByteBuffer* bytes,
                                     grpc::ByteBuffer* response) override;
  grpc::ServerWriteReactor<grpc::ByteBuffer>* StreamGenerate(
      grpc::CallbackServerContext* context, const grpc::ByteBuffer* bytes) override;
  grpc::ServerUnaryReactor* Tokenize(grpc::CallbackServerContext* context,
                                     const grpc::ByteBuffer* bytes,
                                     grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* Detokenize(grpc::CallbackServerContext* context,
                                       const grpc::ByteBuffer* bytes,
                                       grpc::ByteBuffer* response) override;

 private:
  UnaryParts unary() const { return {*parts_.entry, *parts_.access, parts_.clock}; }
  // The last stage before the queue: everything of the ticket but its sink.
  std::optional<Failure> MakeTicket(const grpc::CallbackServerContext& context,
                                    const v1::GenerateRequest& request, TimePoint arrival,
                                    Ticket* ticket) const;
  template <typename Call>
  void Submit(grpc::CallbackServerContext* context, const v1::StreamGenerateRequest& request,
              std::optional<Failure> failure, const std::shared_ptr<Call>& call) const;

  Parts parts_;
};

}  // namespace sparsed::server
