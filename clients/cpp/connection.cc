#include "clients/cpp/connection.h"

namespace sparsed::clients {
namespace {

constexpr char kServiceConfig[] = R"({
  "methodConfig": [{
    "name": [
      {"service": "sparsed.v1.GenerationService"},
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

}  // namespace

void Connection::Open(const std::string& address) {
  address_ = address;
  Connect(true);
}

void Connection::ReopenWithoutRetries() { Connect(false); }

void Connection::Connect(bool retries) {
  grpc::ChannelArguments arguments;
  arguments.SetInt("grpc.enable_retries", retries ? 1 : 0);
  arguments.SetServiceConfigJSON(kServiceConfig);
  arguments.SetMaxReceiveMessageSize(kMaxReceiveBytes);
  arguments.SetInt("grpc.enable_http_proxy", 0);
  arguments.SetUserAgentPrefix("sparsedctl");
  const auto channel =
      grpc::CreateCustomChannel(address_, grpc::InsecureChannelCredentials(), arguments);
  generation_ = v1::GenerationService::NewStub(channel);
  models_ = v1::ModelService::NewStub(channel);
  health_ = grpc::health::v1::Health::NewStub(channel);
}

}  // namespace sparsed::clients
