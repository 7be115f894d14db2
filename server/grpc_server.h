// The gRPC server: its port, credentials, limits and plugins.
#pragma once

#include <grpcpp/server.h>

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "server/config.h"

namespace sparsed::server {

struct GrpcServer {
  std::unique_ptr<grpc::Server> server;
  int port = 0;
};

// Listens at once, over TLS where there is a certificate; its files are watched. gRPC's own
// messages go to standard error in the log's format from then on, Protocol Buffers' nowhere. The
// services are borrowed for the server's life. Errors: UNAVAILABLE naming the address.
absl::StatusOr<GrpcServer> StartGrpcServer(const Config& config,
                                           const std::vector<grpc::Service*>& services);

}  // namespace sparsed::server
