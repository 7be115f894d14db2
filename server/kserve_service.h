// inference.GRPCInferenceService: the Open Inference Protocol (KServe v2), as clients of Triton and
// KServe speak it.
// Next: server/kserve_tensors.h, server/kserve_model.h, server/submit.h
#pragma once

#include <utility>

#include "inference/grpc_service.grpc.pb.h"
#include "server/entry.h"
#include "server/metrics.h"
#include "server/open_streams.h"
#include "server/submit.h"
#include "server/unary.h"

namespace sparsed::server {

using KserveBase = inference::GRPCInferenceService;
// Takes bytes instead of messages: see server/wire.h.
using RawKserveService = KserveBase::WithRawCallbackMethod_ServerLive<
    KserveBase::WithRawCallbackMethod_ServerReady<KserveBase::WithRawCallbackMethod_ModelReady<
        KserveBase::WithRawCallbackMethod_ServerMetadata<
            KserveBase::WithRawCallbackMethod_ModelMetadata<
                KserveBase::WithRawCallbackMethod_ModelInfer<
                    KserveBase::WithRawCallbackMethod_ModelStreamInfer<
                        KserveBase::WithRawCallbackMethod_ModelConfig<
                            KserveBase::WithRawCallbackMethod_ModelStatistics<
                                KserveBase::WithRawCallbackMethod_RepositoryIndex<
                                    KserveBase::Service>>>>>>>>>>;

// Thread-safe; called by gRPC's threads, none of which it ever blocks.
class KserveService final : public RawKserveService {
 public:
  using Bytes = grpc::ByteBuffer;
  using Context = grpc::CallbackServerContext;

  // All borrowed for the service's life.
  struct Parts {
    const ServerState* state = nullptr;
    const Submitter* submitter = nullptr;
    const AccessLog* access = nullptr;
    const Entry* entry = nullptr;
    OpenStreams* open_streams = nullptr;
    Clock clock;
    const Metrics* metrics = nullptr;  // for ModelStatistics
  };
  explicit KserveService(Parts parts) : parts_(std::move(parts)) {}

  grpc::ServerUnaryReactor* ServerLive(Context* context, const Bytes* in, Bytes* out) override;
  grpc::ServerUnaryReactor* ServerReady(Context* context, const Bytes* in, Bytes* out) override;
  grpc::ServerUnaryReactor* ModelReady(Context* context, const Bytes* in, Bytes* out) override;
  grpc::ServerUnaryReactor* ServerMetadata(Context* context, const Bytes* in, Bytes* out) override;
  grpc::ServerUnaryReactor* ModelMetadata(Context* context, const Bytes* in, Bytes* out) override;
  grpc::ServerUnaryReactor* ModelInfer(Context* context, const Bytes* in, Bytes* out) override;
  grpc::ServerBidiReactor<Bytes, Bytes>* ModelStreamInfer(Context* context) override;
  grpc::ServerUnaryReactor* ModelConfig(Context* context, const Bytes* in, Bytes* out) override;
  grpc::ServerUnaryReactor* ModelStatistics(Context* context, const Bytes* in, Bytes* out) override;
  grpc::ServerUnaryReactor* RepositoryIndex(Context* context, const Bytes* in, Bytes* out) override;

 private:
  UnaryParts unary() const { return {*parts_.entry, *parts_.access, parts_.clock, "kserve"}; }

  Parts parts_;
};

}  // namespace sparsed::server
