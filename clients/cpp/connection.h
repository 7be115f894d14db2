// The channel to a server.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "grpc/health/v1/health.grpc.pb.h"
#include "sparsed/v1/generation.grpc.pb.h"
#include "sparsed/v1/model.grpc.pb.h"

namespace sparsed::clients {

// One lazily connected plaintext channel and the stubs on it. Calls of our own services that end
// UNAVAILABLE or RESOURCE_EXHAUSTED are tried up to four times by gRPC itself, which waits as long
// as the server's pushback says; health is told as it is.
// Threads: every method may be called by many threads at once, after Open.
class Connection {
 public:
  // `address` is anything gRPC resolves: HOST:PORT, unix:PATH. Proxies of the environment are not
  // used.
  void Open(const std::string& address);
  // Opens a new channel to the same address, whose calls are tried once only.
  void ReopenWithoutRetries();

  v1::GenerationService::Stub& generation() { return *generation_; }
  v1::ModelService::Stub& models() { return *models_; }
  grpc::health::v1::Health::Stub& health() { return *health_; }

 private:
  void Connect(bool retries);

  std::string address_;
  std::unique_ptr<v1::GenerationService::Stub> generation_;
  std::unique_ptr<v1::ModelService::Stub> models_;
  std::unique_ptr<grpc::health::v1::Health::Stub> health_;
};

}  // namespace sparsed::clients
