#include "server/errors.h"

#include "google/rpc/error_details.pb.h"
#include "tests/unit/server/fakes.h"

namespace sparsed::server {

TEST_CASE("errors: the status that travels holds code, message, details and the request's id") {
  const grpc::Status status =
      ToGrpcStatus(BadFields(OneViolation("sampling.steps", "0 is too few")), "id-7");
  CHECK(status.error_code() == grpc::StatusCode::INVALID_ARGUMENT);
  CHECK(status.error_message() == "sampling.steps: 0 is too few");
  google::rpc::Status rich;
  REQUIRE(rich.ParseFromString(status.error_details()));
  CHECK(rich.code() == 3);
  REQUIRE(rich.details().size() == 2);
  google::rpc::RequestInfo info;
  REQUIRE(rich.details(1).UnpackTo(&info));
  CHECK(info.request_id() == "id-7");
}

TEST_CASE("errors: many and long violations stay below what peers accept as metadata") {
  std::string accents;
  for (int i = 0; i < 2000; ++i) accents += "\xC3\xA9";
  Violations violations;
  for (int i = 0; i < 100000; ++i) {
    violations.Add(absl::StrCat("token_ids.ids[", i, "]", std::string(200, 'f')),
                   i % 2 == 0 ? accents : "x" + accents);
  }
  const Failure failure = BadFields(violations);
  const grpc::Status status = ToGrpcStatus(failure, std::string(128, 'r'));
  CHECK(status.error_details().size() <= 6000);
  CHECK(status.error_message().size() <= 1024);
  const auto bad = DetailOf<google::rpc::BadRequest>(failure);
  REQUIRE(bad.field_violations().size() == 16);
  CHECK(bad.field_violations(15).description().find("and 99984 more") != std::string::npos);
}

TEST_CASE("errors: each has the code and the details that clients are promised") {
  const Failure full = QueueFull(256, 1500);
  CHECK(full.code() == grpc::StatusCode::RESOURCE_EXHAUSTED);
  CHECK(full.pushback_ms == 1500);
  CHECK(DetailOf<google::rpc::QuotaFailure>(full).violations(0).subject() == "queue_requests");
  CHECK(DetailOf<google::rpc::RetryInfo>(full).retry_delay().seconds() == 1);
  CHECK(DetailOf<google::rpc::RetryInfo>(full).retry_delay().nanos() == 500000000);

  const Failure memory = OutOfMemory(4096);
  CHECK(memory.code() == grpc::StatusCode::RESOURCE_EXHAUSTED);
  CHECK(memory.pushback_ms == 1000);
  CHECK(DetailOf<google::rpc::QuotaFailure>(memory).violations(0).subject() == "device_memory");
  CHECK(DetailOf<google::rpc::RetryInfo>(memory).retry_delay().seconds() == 1);

  const Failure model = UnknownModel("other", "nano");
  CHECK(model.code() == grpc::StatusCode::NOT_FOUND);
  CHECK(DetailOf<google::rpc::ResourceInfo>(model).resource_type() == "model");
  CHECK(DetailOf<google::rpc::ResourceInfo>(model).resource_name() == "other");

  CHECK(NoChatTemplate("nano").code() == grpc::StatusCode::FAILED_PRECONDITION);
  DetailOf<google::rpc::PreconditionFailure>(NoChatTemplate("nano"));

  for (const Failure& unavailable :
       {Loading(), Draining(), EngineStopped(), DrainTimeout(), ConnectionsFull(512)}) {
    CHECK(unavailable.code() == grpc::StatusCode::UNAVAILABLE);
    DetailOf<google::rpc::RetryInfo>(unavailable);
  }
  CHECK(DetailOf<google::rpc::ErrorInfo>(DrainTimeout()).reason() == "DRAIN_TIMEOUT");

  CHECK(DeadlineInQueue().code() == grpc::StatusCode::DEADLINE_EXCEEDED);
  CHECK(DetailOf<google::rpc::ErrorInfo>(DeadlineInQueue()).reason() == "QUEUE_DEADLINE");
  const auto running = DetailOf<google::rpc::ErrorInfo>(DeadlineWhileRunning(3, 8));
  CHECK(running.reason() == "RUN_DEADLINE");
  CHECK(running.domain() == "sparsed");
  CHECK(running.metadata().at("steps_done") == "3");

  CHECK(SlowConsumer().code() == grpc::StatusCode::RESOURCE_EXHAUSTED);
  CHECK(DetailOf<google::rpc::ErrorInfo>(SlowConsumer()).reason() == "SLOW_CONSUMER");
  for (const Failure& refused : {TokenMissing(), TokenInvalid()}) {
    CHECK(refused.code() == grpc::StatusCode::UNAUTHENTICATED);
    CHECK(DetailOf<google::rpc::ErrorInfo>(refused).domain() == "sparsed");
  }
  const Failure forbidden = ModelForbidden("other");
  CHECK(forbidden.code() == grpc::StatusCode::PERMISSION_DENIED);
  CHECK(DetailOf<google::rpc::ErrorInfo>(forbidden).reason() == "MODEL_FORBIDDEN");
  CHECK(DetailOf<google::rpc::ErrorInfo>(forbidden).metadata().at("model") == "other");
  const Failure tokens = QueueTokensFull(70, 50, 100, 90);
  CHECK(tokens.code() == grpc::StatusCode::RESOURCE_EXHAUSTED);
  CHECK(tokens.pushback_ms == 90);
  CHECK(DetailOf<google::rpc::QuotaFailure>(tokens).violations(0).description() ==
        "needs 70, limit 100");

  const Failure short_deadline = DeadlineTooShort(1.5, 20);
  CHECK(short_deadline.code() == grpc::StatusCode::DEADLINE_EXCEEDED);
  CHECK_FALSE(short_deadline.pushback_ms.has_value());
  const auto too_short = DetailOf<google::rpc::ErrorInfo>(short_deadline);
  CHECK(too_short.reason() == "DEADLINE_TOO_SHORT");
  CHECK(too_short.metadata().at("seconds_left") == "1.500");
  CHECK(too_short.metadata().at("least_seconds") == "20.000");

  CHECK(Cancelled().code() == grpc::StatusCode::CANCELLED);
  CHECK(Internal().code() == grpc::StatusCode::INTERNAL);
  CHECK(CodeName(grpc::StatusCode::OK) == "OK");
  CHECK(CodeName(grpc::StatusCode::UNAVAILABLE) == "UNAVAILABLE");
  CHECK(CodeName(grpc::StatusCode::UNAUTHENTICATED) == "UNAUTHENTICATED");
}

}  // namespace sparsed::server
