#include "server/grpc_server.h"

#include <grpc/support/log.h>
#include <grpcpp/ext/health_check_service_server_builder_option.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>

#include <algorithm>
#include <cstdio>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "server/log.h"

namespace sparsed::server {
namespace {

// gRPC takes a bare function, without anything that it could write to.
template <bool kJson>
void WriteGrpcMessage(gpr_log_func_args* args) {
  const char* level = args->severity == GPR_LOG_SEVERITY_ERROR ? "error" : "info";
  const std::string line =
      FormatLogLine(kJson ? "json" : "text", LogTime(), level, "grpc", {{"cause", args->message}});
  std::fputs((line + "\n").c_str(), stderr);
}

void SetChannelArguments(grpc::ServerBuilder& builder, double max_request_seconds) {
  constexpr double kMaxGraceSeconds = 2000000;  // below 2^31 milliseconds
  const int grace_ms = static_cast<int>(std::min(max_request_seconds, kMaxGraceSeconds) * 1000);
  // A second server on the port must fail, not share it.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, 1024);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 60000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 30000);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 2);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, 300000);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS, 1800000);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS, grace_ms);
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, 20000);
}

}  // namespace

absl::StatusOr<GrpcServer> StartGrpcServer(const std::string& address,
                                           const std::vector<grpc::Service*>& services,
                                           double max_request_seconds,
                                           const std::string& log_format) {
  gpr_set_log_function(log_format == "json" ? WriteGrpcMessage<true> : WriteGrpcMessage<false>);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  builder.SetOption(std::make_unique<grpc::HealthCheckServiceServerBuilderOption>(nullptr));
  SetChannelArguments(builder, max_request_seconds);
  builder.SetMaxReceiveMessageSize(kMaxReceiveMessageBytes);
  builder.SetMaxSendMessageSize(kMaxSendMessageBytes);
  builder.SetResourceQuota(grpc::ResourceQuota("sparsed").Resize(512 << 20));
  GrpcServer result;
  builder.AddListeningPort(address, grpc::InsecureServerCredentials(), &result.port);
  for (grpc::Service* service : services) builder.RegisterService(service);
  result.server = builder.BuildAndStart();
  if (result.server == nullptr || result.port == 0) {
    return absl::UnavailableError(absl::StrCat("cannot listen on ", address, " (--grpc-address)"));
  }
  return result;
}

}  // namespace sparsed::server
