// How a call fails: gRPC codes with google.rpc details, in one place.
#pragma once

#include <grpcpp/support/status.h>

#include <cstdint>
#include <optional>
#include <string>

#include "google/rpc/status.pb.h"
#include "server/violations.h"

namespace sparsed::server {

struct Failure {
  google::rpc::Status status;  // code, message and details
  // Trailer grpc-retry-pushback-ms: when to try again; negative: never.
  std::optional<int64_t> pushback_ms;
  std::string reason;  // a word for the metrics: "queue_full"

  grpc::StatusCode code() const { return static_cast<grpc::StatusCode>(status.code()); }
};

// The status as it travels, the request's id added to its details.
grpc::Status ToGrpcStatus(const Failure& failure, const std::string& request_id);
// "INVALID_ARGUMENT"; "OK".
std::string CodeName(grpc::StatusCode code);

// The status of HTTP that stands for the failure; 200 for none.
int HttpStatus(const Failure* failure);

// INVALID_ARGUMENT with BadRequest. Not empty; of many only the first 16 are listed in detail.
Failure BadFields(const Violations& violations);
// INVALID_ARGUMENT with BadRequest (these violations) and ErrorInfo CONTEXT_LENGTH_EXCEEDED.
Failure ContextTooLong(const Violations& violations, int64_t prompt_tokens, int64_t canvas_tokens,
                       int64_t max_tokens);
// NOT_FOUND with ResourceInfo.
Failure UnknownModel(const std::string& name, const std::string& served);
// FAILED_PRECONDITION with PreconditionFailure.
Failure NoChatTemplate(const std::string& model);
// RESOURCE_EXHAUSTED with QuotaFailure and RetryInfo.
Failure QueueFull(int64_t capacity, int64_t retry_ms);
Failure QueueTokensFull(int64_t needed, int64_t waiting, int64_t limit, int64_t retry_ms);
// RESOURCE_EXHAUSTED with QuotaFailure and RetryInfo: what other inspections return takes the room.
Failure InspectionsFull(int64_t needed, int64_t held, int64_t limit);
// RESOURCE_EXHAUSTED with QuotaFailure: more than the server's limit, whatever else runs.
Failure NeverFits(const std::string& limit_name, int64_t needed, int64_t limit);
// RESOURCE_EXHAUSTED with QuotaFailure and RetryInfo: the device has no memory left, although
// nothing else of the server runs.
Failure OutOfMemory(int64_t needed_bytes);
// UNAVAILABLE with RetryInfo.
Failure Loading();
Failure Draining();
Failure EngineStopped();
// UNAVAILABLE with ErrorInfo DRAIN_TIMEOUT and RetryInfo.
Failure DrainTimeout();
// RESOURCE_EXHAUSTED with ErrorInfo SLOW_CONSUMER.
Failure SlowConsumer();
// UNAUTHENTICATED with ErrorInfo TOKEN_MISSING or TOKEN_INVALID.
Failure TokenMissing();
Failure TokenInvalid();
// RESOURCE_EXHAUSTED: an HTTP request whose body is longer. gRPC has limits of its own.
Failure BodyTooLarge(int64_t limit);
// DEADLINE_EXCEEDED: an HTTP request that did not arrive in time.
Failure BodyTooSlow();
// UNAVAILABLE with RetryInfo: no connection of HTTP is free.
Failure ConnectionsFull(int64_t limit);
// PERMISSION_DENIED with ErrorInfo MODEL_FORBIDDEN.
Failure ModelForbidden(const std::string& model);
Failure Cancelled();
// DEADLINE_EXCEEDED with ErrorInfo QUEUE_DEADLINE, DEADLINE_TOO_SHORT or RUN_DEADLINE.
Failure DeadlineInQueue();
Failure DeadlineTooShort(double seconds_left, double least_seconds);
Failure DeadlineWhileRunning(int32_t steps_done, int32_t steps_planned);
// INTERNAL, the cause left out.
Failure Internal();

}  // namespace sparsed::server
