// The gRPC server: its port, limits and plugins.
#pragma once

#include <grpcpp/server.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace sparsed::server {

inline constexpr int kMaxReceiveMessageBytes = 4 << 20;
inline constexpr int kMaxSendMessageBytes = 16 << 20;

struct GrpcServer {
  std::unique_ptr<grpc::Server> server;
  int port = 0;
};

// Listens at once. gRPC's own messages go to standard error in log_format from then on. The
// services are borrowed for the server's life. Errors: UNAVAILABLE naming the address.
absl::StatusOr<GrpcServer> StartGrpcServer(const std::string& address,
                                           const std::vector<grpc::Service*>& services,
                                           double max_request_seconds,
                                           const std::string& log_format);

}  // namespace sparsed::server
