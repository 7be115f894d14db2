#include "clients/cpp/errors.h"

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "tests/testing/catch.h"

namespace sparsed::clients {
namespace {

grpc::Status WithDetails(grpc::StatusCode code, const std::string& message,
                         const std::vector<const google::protobuf::Message*>& details) {
  google::rpc::Status status;
  status.set_code(code);
  status.set_message(message);
  for (const auto* detail : details) status.add_details()->PackFrom(*detail);
  return grpc::Status(code, message, status.SerializeAsString());
}

TEST_CASE("codes have the names of the gRPC documentation") {
  CHECK(StatusCodeName(grpc::StatusCode::INVALID_ARGUMENT) == "INVALID_ARGUMENT");
  CHECK(StatusCodeName(grpc::StatusCode::UNAUTHENTICATED) == "UNAUTHENTICATED");
  CHECK(StatusCodeName(grpc::StatusCode::RESOURCE_EXHAUSTED) == "RESOURCE_EXHAUSTED");
  CHECK(StatusCodeName(static_cast<grpc::StatusCode>(17)) == "CODE_17");
}

TEST_CASE("an error shows every detail on its own line") {
  google::rpc::BadRequest bad;
  auto* violation = bad.add_field_violations();
  violation->set_field("sampling.steps");
  violation->set_description("must be 1..64, got 0");
  violation = bad.add_field_violations();
  violation->set_field("sampling.temperature");
  violation->set_description("must be finite");
  google::rpc::ErrorInfo info;
  info.set_reason("CONTEXT_LENGTH_EXCEEDED");
  info.set_domain("sparsed");
  (*info.mutable_metadata())["tokens"] = "9000";
  (*info.mutable_metadata())["limit"] = "8192";
  const grpc::Status status =
      WithDetails(grpc::StatusCode::INVALID_ARGUMENT, "2 fields are invalid", {&bad, &info});
  CHECK(RenderError(status) ==
        "error: INVALID_ARGUMENT: 2 fields are invalid\n"
        "  sampling.steps: must be 1..64, got 0\n"
        "  sampling.temperature: must be finite\n"
        "  reason: CONTEXT_LENGTH_EXCEEDED (sparsed); limit = 8192, tokens = 9000\n");
  CHECK_FALSE(RetryDelay(status).has_value());
}

TEST_CASE("delays and resources are told") {
  google::rpc::RetryInfo retry;
  retry.mutable_retry_delay()->set_seconds(1);
  retry.mutable_retry_delay()->set_nanos(250000000);
  google::rpc::QuotaFailure quota;
  quota.add_violations()->set_subject("queue_requests");
  quota.mutable_violations(0)->set_description("256 are waiting");
  const grpc::Status full =
      WithDetails(grpc::StatusCode::RESOURCE_EXHAUSTED, "queue full", {&quota, &retry});
  CHECK(RenderError(full) ==
        "error: RESOURCE_EXHAUSTED: queue full\n"
        "  quota: queue_requests: 256 are waiting\n"
        "  retry in: 1.25 s\n");
  CHECK(RetryDelay(full) == std::chrono::milliseconds(1250));

  google::rpc::ResourceInfo resource;
  resource.set_resource_type("model");
  resource.set_resource_name("llada");
  CHECK(RenderError(WithDetails(grpc::StatusCode::NOT_FOUND, "no such model", {&resource})) ==
        "error: NOT_FOUND: no such model\n"
        "  resource: model \"llada\"\n");
}

TEST_CASE("details that cannot be read are left out") {
  const grpc::Status broken(grpc::StatusCode::INTERNAL, "failed", "\xFF\xFF not a message");
  CHECK(RenderError(broken) == "error: INTERNAL: failed\n");
  google::rpc::Status unknown;
  unknown.add_details()->set_type_url("type.googleapis.com/not.Known");
  CHECK(RenderError(grpc::Status(grpc::StatusCode::INTERNAL, "x", unknown.SerializeAsString())) ==
        "error: INTERNAL: x\n");
}

TEST_CASE("an error cannot send the terminal anything") {
  const std::string rendered =
      RenderError(grpc::Status(grpc::StatusCode::INTERNAL, "a\x1b[31mb\x07"));
  CHECK(rendered.find('\x1b') == std::string::npos);
  CHECK(rendered.find('\x07') == std::string::npos);
}

}  // namespace
}  // namespace sparsed::clients
