// sparsed.v1.ModelService: what is served, and by which server.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "server/access_log.h"
#include "server/clock.h"
#include "server/server_state.h"
#include "server/unary.h"
#include "sparsed/v1/model.grpc.pb.h"

namespace sparsed::server {

using RawModelService = v1::ModelService::WithRawCallbackMethod_ListModels<
    v1::ModelService::WithRawCallbackMethod_GetModel<
        v1::ModelService::WithRawCallbackMethod_GetServerInfo<v1::ModelService::Service>>>;

class ModelService final : public RawModelService {
 public:
  // All borrowed for the service's life.
  struct Parts {
    const ServerState* state = nullptr;
    const AccessLog* access = nullptr;
    const Entry* entry = nullptr;
    Clock clock;
    TimePoint started;
    std::map<std::string, uint64_t> limits;  // the configured ones
  };
  explicit ModelService(Parts parts) : parts_(std::move(parts)) {}

  grpc::ServerUnaryReactor* ListModels(grpc::CallbackServerContext* context,
                                       const grpc::ByteBuffer* bytes,
                                       grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* GetModel(grpc::CallbackServerContext* context,
                                     const grpc::ByteBuffer* bytes,
                                     grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* GetServerInfo(grpc::CallbackServerContext* context,
                                          const grpc::ByteBuffer* bytes,
                                          grpc::ByteBuffer* response) override;

 private:
  UnaryParts unary() const { return {*parts_.entry, *parts_.access, parts_.clock}; }

  Parts parts_;
};

}  // namespace sparsed::server
