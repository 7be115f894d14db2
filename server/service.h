// sparsed.v1.GenerationService: where a request enters.
// Next: server/submit.h
#pragma once

#include <utility>

#include "server/access_log.h"
#include "server/calls.h"
#include "server/clock.h"
#include "server/server_state.h"
#include "server/submit.h"
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
    const Submitter* submitter = nullptr;
    const AccessLog* access = nullptr;
    const Entry* entry = nullptr;
    OpenStreams* open_streams = nullptr;
    Clock clock;
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
  // The call's ids, sent to the client; a valid id of the request's own goes first.
  CallInfo Describe(grpc::CallbackServerContext* context, const char* method,
                    const v1::GenerateRequest& request) const;

  Parts parts_;
};

}  // namespace sparsed::server
