#include "server/grpc_server.h"

#include <google/protobuf/stubs/logging.h>
#include <grpcpp/ext/health_check_service_server_builder_option.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/impl/server_builder_option.h>
#include <grpcpp/impl/server_builder_plugin.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <grpcpp/server_builder.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace sparsed::server {
namespace {

// Takes away what linked libraries have registered: reflection.
class WithoutPlugins final : public grpc::ServerBuilderOption {
 public:
  void UpdateArguments(grpc::ChannelArguments*) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>* plugins) override {
    plugins->clear();
  }
};

int WholeMilliseconds(double seconds) { return static_cast<int>(seconds * 1000); }

void SetLimits(grpc::ServerBuilder& builder, const Config& config) {
  constexpr int kMaxSendBytes = 16 << 20;
  builder.SetMaxReceiveMessageSize(static_cast<int>(config.max_message_bytes()));
  builder.SetMaxSendMessageSize(kMaxSendBytes);
  builder.SetResourceQuota(
      grpc::ResourceQuota("sparsed").Resize(static_cast<size_t>(config.grpc_memory_mib) << 20));
  const std::pair<const char*, int> arguments[] = {
      // A second server on the port must fail, not share it.
      {GRPC_ARG_ALLOW_REUSEPORT, 0},
      {GRPC_ARG_MAX_CONCURRENT_STREAMS, static_cast<int>(config.max_concurrent_streams)},
      {GRPC_ARG_KEEPALIVE_TIME_MS, WholeMilliseconds(config.keepalive_seconds)},
      {GRPC_ARG_KEEPALIVE_TIMEOUT_MS, WholeMilliseconds(config.keepalive_timeout_seconds)},
      {GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1},
      {GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 30000},
      {GRPC_ARG_HTTP2_MAX_PING_STRIKES, 2},
      {GRPC_ARG_MAX_CONNECTION_IDLE_MS, WholeMilliseconds(config.max_connection_idle_seconds)},
      {GRPC_ARG_MAX_CONNECTION_AGE_MS, WholeMilliseconds(config.max_connection_age_seconds)},
      {GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS, WholeMilliseconds(config.max_request_seconds)},
      {GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, WholeMilliseconds(config.handshake_timeout_seconds)},
  };
  for (const auto& [name, value] : arguments) builder.AddChannelArgument(name, value);
}

std::shared_ptr<grpc::ServerCredentials> Credentials(const Config& config) {
  constexpr unsigned kCheckSeconds = 1;  // how often the files are looked at
  if (config.tls_cert.empty()) return grpc::InsecureServerCredentials();
  using grpc::experimental::FileWatcherCertificateProvider;
  grpc::experimental::TlsServerCredentialsOptions options(
      std::make_shared<FileWatcherCertificateProvider>(config.tls_key, config.tls_cert,
                                                       config.tls_client_ca, kCheckSeconds));
  options.watch_identity_key_cert_pairs();
  if (!config.tls_client_ca.empty()) {
    options.watch_root_certs();
    options.set_cert_request_type(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  }
  return grpc::experimental::TlsServerCredentials(options);
}

}  // namespace

absl::StatusOr<GrpcServer> StartGrpcServer(const Config& config,
                                           const std::vector<grpc::Service*>& services) {
  // Protocol Buffers would print a line for text that is not UTF-8, which any client may send.
  google::protobuf::SetLogHandler(nullptr);
  // Linking the library is enough to get reflection; this only says so.
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  builder.SetOption(std::make_unique<grpc::HealthCheckServiceServerBuilderOption>(nullptr));
  if (!config.reflection) builder.SetOption(std::make_unique<WithoutPlugins>());
  SetLimits(builder, config);
  GrpcServer result;
  builder.AddListeningPort(config.grpc_address, Credentials(config), &result.port);
  for (grpc::Service* service : services) builder.RegisterService(service);
  result.server = builder.BuildAndStart();
  if (result.server == nullptr || result.port == 0) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen on ", config.grpc_address, " (--grpc-address)"));
  }
  return result;
}

}  // namespace sparsed::server
