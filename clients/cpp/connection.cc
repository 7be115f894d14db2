#include "clients/cpp/connection.h"

#include <fstream>
#include <iterator>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "clients/cpp/token_interceptor.h"

namespace sparsed::clients {
namespace {

constexpr char kServiceConfig[] = R"({
  "methodConfig": [{
    "name": [
      {"service": "sparsed.v1.GenerationService"},
      {"service": "sparsed.v1.InspectionService"},
      {"service": "sparsed.v1.ModelService"}
    ],
    "retryPolicy": {
      "maxAttempts": 4,
      "initialBackoff": "0.2s",
      "maxBackoff": "5s",
      "backoffMultiplier": 2,
      "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED"]
    }
  }],
  "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1}
})";

// What a server may send at most.
constexpr int kMaxReceiveBytes = 16 << 20;

// Reads the file of a flag into *text; no file, no text.
absl::Status ReadFile(const char* flag, const std::string& path, std::string* text) {
  if (path.empty()) return absl::OkStatus();
  std::ifstream in(path, std::ios::binary);
  text->assign(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  if (!in || text->empty()) {
    return absl::NotFoundError(absl::StrCat(flag, ": cannot read ", path));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> Credentials(
    const ConnectionOptions& options) {
  if (options.tls_cert.empty() != options.tls_key.empty()) {
    return absl::InvalidArgumentError("--tls-cert and --tls-key must be given together");
  }
  if (options.tls_ca.empty()) {
    if (!options.tls_cert.empty()) return absl::InvalidArgumentError("--tls-cert needs --tls-ca");
    return grpc::InsecureChannelCredentials();
  }
  grpc::SslCredentialsOptions ssl;
  absl::Status read = ReadFile("--tls-ca", options.tls_ca, &ssl.pem_root_certs);
  if (read.ok()) read = ReadFile("--tls-cert", options.tls_cert, &ssl.pem_cert_chain);
  if (read.ok()) read = ReadFile("--tls-key", options.tls_key, &ssl.pem_private_key);
  if (!read.ok()) return read;
  return grpc::SslCredentials(ssl);
}

}  // namespace

absl::Status Connection::Open(const ConnectionOptions& options) {
  auto credentials = Credentials(options);
  if (!credentials.ok()) return credentials.status();
  std::string token;
  const absl::Status read = ReadFile("--token-file", options.token_file, &token);
  if (!read.ok()) return read;
  address_ = options.address;
  credentials_ = *std::move(credentials);
  token_ = std::string(absl::StripAsciiWhitespace(token.substr(0, token.find('\n'))));
  Connect(true);
  return absl::OkStatus();
}

void Connection::ReopenWithoutRetries() { Connect(false); }

void Connection::Connect(bool retries) {
  grpc::ChannelArguments arguments;
  arguments.SetInt("grpc.enable_retries", retries ? 1 : 0);
  arguments.SetServiceConfigJSON(kServiceConfig);
  arguments.SetMaxReceiveMessageSize(kMaxReceiveBytes);
  arguments.SetInt("grpc.enable_http_proxy", 0);
  arguments.SetUserAgentPrefix("sparsedctl");
  const auto channel = grpc::experimental::CreateCustomChannelWithInterceptors(
      address_, credentials_, arguments, TokenInterceptors(token_));
  generation_ = v1::GenerationService::NewStub(channel);
  models_ = v1::ModelService::NewStub(channel);
  inspection_ = v1::InspectionService::NewStub(channel);
  health_ = grpc::health::v1::Health::NewStub(channel);
}

}  // namespace sparsed::clients
