// grpc.health.v1.Health. NOT_SERVING until told otherwise; its Watch streams can be ended, so that
// they do not hold up a shutdown as those of gRPC's own service do.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "grpc/health/v1/health.grpc.pb.h"

namespace sparsed::server {

// Thread-safe.
class HealthService final : public grpc::health::v1::Health::CallbackService {
 public:
  using Request = grpc::health::v1::HealthCheckRequest;
  using Response = grpc::health::v1::HealthCheckResponse;

  // names: of the services that are known; all have one status.
  explicit HealthService(std::set<std::string> names) : names_(std::move(names)) {}

  void SetServing(bool serving);
  // Ends all Watch streams, and later ones after their first message.
  void EndWatches();

  grpc::ServerUnaryReactor* Check(grpc::CallbackServerContext* context, const Request* request,
                                  Response* response) override;
  grpc::ServerWriteReactor<Response>* Watch(grpc::CallbackServerContext* context,
                                            const Request* request) override;

 private:
  class Watcher;

  void Forget(const std::shared_ptr<Watcher>& watcher);

  const std::set<std::string> names_;
  std::mutex mu_;
  // The members below are guarded by mu_.
  bool serving_ = false;
  bool ended_ = false;
  std::set<std::shared_ptr<Watcher>> watchers_;
};

}  // namespace sparsed::server
