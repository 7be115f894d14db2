// The channel to a server.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "sparsed/v1/generation.grpc.pb.h"
#include "sparsed/v1/inspection.grpc.pb.h"
#include "sparsed/v1/model.grpc.pb.h"

namespace sparsed::clients {

struct ConnectionOptions {
  // Anything gRPC resolves: HOST:PORT, unix:PATH.
  std::string address = "127.0.0.1:8001";
  std::string tls_ca;    // PEM file of the authority of the server's certificate; empty: no TLS
  std::string tls_cert;  // PEM files of the client's own certificate and key; both or neither
  std::string tls_key;
  std::string token_file;  // its first line is the bearer token of every call; empty: none
};

// One lazily connected channel and the stubs on it. Calls of our own services that end
// UNAVAILABLE or RESOURCE_EXHAUSTED are tried up to four times by gRPC itself, which waits as long
// as the server's pushback says; health is told as it is.
// Threads: every method may be called by many threads at once, after Open.
class Connection {
 public:
  // Proxies of the environment are not used. Errors: INVALID_ARGUMENT (options that do not go
  // together), NOT_FOUND (a file that cannot be read).
  absl::Status Open(const ConnectionOptions& options);
  // Opens a new channel to the same server, whose calls are tried once only.
  void ReopenWithoutRetries();

  v1::GenerationService::Stub& generation() { return *generation_; }
  v1::ModelService::Stub& models() { return *models_; }
  v1::InspectionService::Stub& inspection() { return *inspection_; }
  grpc::health::v1::Health::Stub& health() { return *health_; }

 private:
  void Connect(bool retries);

  std::string address_;
  std::shared_ptr<grpc::ChannelCredentials> credentials_;
  std::string token_;
  std::unique_ptr<v1::GenerationService::Stub> generation_;
  std::unique_ptr<v1::ModelService::Stub> models_;
  std::unique_ptr<v1::InspectionService::Stub> inspection_;
  std::unique_ptr<grpc::health::v1::Health::Stub> health_;
};

}  // namespace sparsed::clients
