#include "server/errors.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "google/rpc/error_details.pb.h"

namespace sparsed::server {
namespace {

// Peers refuse metadata of more than 8 KiB; the details share it with the message.
constexpr size_t kMaxViolations = 16;
constexpr size_t kMaxDescriptionBytes = 160;
constexpr size_t kMaxFieldBytes = 64;
constexpr size_t kMaxMessageBytes = 1024;
constexpr int64_t kRetryMs = 1000;

std::string Shorten(const std::string& text, size_t limit) {
  if (text.size() <= limit) return text;
  size_t end = limit - 3;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return absl::StrCat(text.substr(0, end), "...");
}

Failure Make(grpc::StatusCode code, const std::string& message, const std::string& reason) {
  Failure failure;
  failure.status.set_code(code);
  failure.status.set_message(Shorten(message, kMaxMessageBytes));
  failure.reason = reason;
  return failure;
}

void AddErrorInfo(Failure& failure, const std::string& reason,
                  const std::vector<std::pair<std::string, std::string>>& metadata) {
  google::rpc::ErrorInfo info;
  info.set_reason(reason);
  info.set_domain("sparsed");
  for (const auto& [key, value] : metadata) (*info.mutable_metadata())[key] = value;
  failure.status.add_details()->PackFrom(info);
}

void AddRetry(Failure& failure, int64_t retry_ms) {
  google::rpc::RetryInfo retry;
  retry.mutable_retry_delay()->set_seconds(retry_ms / 1000);
  retry.mutable_retry_delay()->set_nanos(static_cast<int32_t>(retry_ms % 1000 * 1000000));
  failure.status.add_details()->PackFrom(retry);
  failure.pushback_ms = retry_ms;
}

void AddQuota(Failure& failure, const std::string& subject, const std::string& description) {
  google::rpc::QuotaFailure quota;
  google::rpc::QuotaFailure::Violation* violation = quota.add_violations();
  violation->set_subject(subject);
  violation->set_description(description);
  failure.status.add_details()->PackFrom(quota);
}

Failure Unavailable(const std::string& message, const std::string& reason) {
  Failure failure = Make(grpc::StatusCode::UNAVAILABLE, message, reason);
  AddRetry(failure, kRetryMs);
  return failure;
}

}  // namespace

grpc::Status ToGrpcStatus(const Failure& failure, const std::string& request_id) {
  google::rpc::Status status = failure.status;
  if (!request_id.empty()) {
    google::rpc::RequestInfo info;
    info.set_request_id(request_id);
    status.add_details()->PackFrom(info);
  }
  return grpc::Status(failure.code(), status.message(), status.SerializeAsString());
}

std::string CodeName(grpc::StatusCode code) {
  static constexpr const char* kNames[] = {"OK",
                                           "CANCELLED",
                                           "UNKNOWN",
                                           "INVALID_ARGUMENT",
                                           "DEADLINE_EXCEEDED",
                                           "NOT_FOUND",
                                           "ALREADY_EXISTS",
                                           "PERMISSION_DENIED",
                                           "RESOURCE_EXHAUSTED",
                                           "FAILED_PRECONDITION",
                                           "ABORTED",
                                           "OUT_OF_RANGE",
                                           "UNIMPLEMENTED",
                                           "INTERNAL",
                                           "UNAVAILABLE",
                                           "DATA_LOSS",
                                           "UNAUTHENTICATED"};
  return code >= 0 && code <= 16 ? kNames[code] : "UNKNOWN";
}

int HttpStatus(const Failure* failure) {
  static constexpr int kStatuses[] = {200, 499, 500, 400, 504, 404, 409, 403, 429,
                                      400, 409, 400, 501, 500, 503, 500, 401};
  if (failure == nullptr) return 200;
  if (failure->reason == "body_too_large") return 413;
  if (failure->reason == "body_too_slow") return 408;
  const int code = failure->code();
  return code > 0 && code <= 16 ? kStatuses[code] : 500;
}

Failure BadFields(const Violations& violations) {
  const std::vector<engine::FieldViolation>& list = violations.list();
  std::string message = absl::StrCat(list.front().field, ": ", list.front().description);
  if (violations.total() > 1) absl::StrAppend(&message, " (and ", violations.total() - 1, " more)");
  Failure failure = Make(grpc::StatusCode::INVALID_ARGUMENT, message, "invalid_argument");

  google::rpc::BadRequest bad;
  const size_t listed = std::min(list.size(), kMaxViolations);
  for (size_t i = 0; i < listed; ++i) {
    google::rpc::BadRequest::FieldViolation* out = bad.add_field_violations();
    out->set_field(Shorten(list[i].field, kMaxFieldBytes));
    out->set_description(Shorten(list[i].description, kMaxDescriptionBytes));
  }
  if (violations.total() > listed) {
    std::string* last = bad.mutable_field_violations(listed - 1)->mutable_description();
    absl::StrAppend(last, " (and ", violations.total() - listed, " more violations)");
  }
  failure.status.add_details()->PackFrom(bad);
  return failure;
}

Failure ContextTooLong(const Violations& violations, int64_t prompt_tokens, int64_t canvas_tokens,
                       int64_t max_tokens) {
  Failure failure = BadFields(violations);
  failure.reason = "context_length";
  AddErrorInfo(failure, "CONTEXT_LENGTH_EXCEEDED",
               {{"prompt_tokens", absl::StrCat(prompt_tokens)},
                {"canvas_tokens", absl::StrCat(canvas_tokens)},
                {"tokens", absl::StrCat(prompt_tokens + canvas_tokens)},
                {"max_tokens", absl::StrCat(max_tokens)}});
  return failure;
}

Failure UnknownModel(const std::string& name, const std::string& served) {
  const std::string shown = Shorten(name, kMaxDescriptionBytes);
  Failure failure =
      Make(grpc::StatusCode::NOT_FOUND,
           absl::StrCat("model: no model '", shown, "'; served: '", served, "'"), "unknown_model");
  google::rpc::ResourceInfo resource;
  resource.set_resource_type("model");
  resource.set_resource_name(shown);
  resource.set_description(absl::StrCat("not served; served: ", served));
  failure.status.add_details()->PackFrom(resource);
  return failure;
}

Failure NoChatTemplate(const std::string& model) {
  const std::string text = absl::StrCat("chat: model '", model, "' has no chat template");
  Failure failure = Make(grpc::StatusCode::FAILED_PRECONDITION, text, "no_chat_template");
  google::rpc::PreconditionFailure precondition;
  google::rpc::PreconditionFailure::Violation* violation = precondition.add_violations();
  violation->set_type("CHAT_TEMPLATE");
  violation->set_subject(model);
  violation->set_description("the checkpoint has no chat template");
  failure.status.add_details()->PackFrom(precondition);
  return failure;
}

Failure QueueFull(int64_t capacity, int64_t retry_ms) {
  const std::string text = absl::StrCat("the queue is full: ", capacity, " requests wait");
  Failure failure = Make(grpc::StatusCode::RESOURCE_EXHAUSTED, text, "queue_full");
  AddQuota(failure, "queue_requests", absl::StrCat("limit ", capacity));
  AddRetry(failure, retry_ms);
  return failure;
}

Failure QueueTokensFull(int64_t needed, int64_t waiting, int64_t limit, int64_t retry_ms) {
  const std::string text = absl::StrCat("the queue is full: ", waiting, " tokens wait, the request",
                                        " has ", needed, ", and ", limit, " may wait");
  Failure failure = Make(grpc::StatusCode::RESOURCE_EXHAUSTED, text, "queue_tokens_full");
  AddQuota(failure, "queue_tokens", absl::StrCat("needs ", needed, ", limit ", limit));
  AddRetry(failure, retry_ms);
  return failure;
}

Failure InspectionsFull(int64_t needed, int64_t held, int64_t limit) {
  const std::string text =
      absl::StrCat("inspections hold ", held, " bytes, this one needs ", needed, " more, and ",
                   limit, " may be held; the limit is --max-inspection-mib");
  Failure failure = Make(grpc::StatusCode::RESOURCE_EXHAUSTED, text, "inspections_full");
  AddQuota(failure, "max_inspection_bytes", absl::StrCat("needs ", needed, ", limit ", limit));
  AddRetry(failure, kRetryMs);
  return failure;
}

Failure NeverFits(const std::string& limit_name, int64_t needed, int64_t limit) {
  const std::string text = absl::StrCat("the request needs ", needed, " of ", limit_name,
                                        "; the server's limit is ", limit);
  Failure failure = Make(grpc::StatusCode::RESOURCE_EXHAUSTED, text, "never_fits");
  AddQuota(failure, limit_name, absl::StrCat("needs ", needed, ", limit ", limit));
  failure.pushback_ms = -1;
  return failure;
}

Failure OutOfMemory(int64_t needed_bytes) {
  Failure failure = Make(grpc::StatusCode::RESOURCE_EXHAUSTED,
                         "the device has no memory left for the request", "out_of_memory");
  AddQuota(failure, "device_memory", absl::StrCat("needs ", needed_bytes, " bytes"));
  AddRetry(failure, kRetryMs);
  return failure;
}

Failure Loading() { return Unavailable("the model is loading", "loading"); }
Failure Draining() { return Unavailable("the server is shutting down", "draining"); }
Failure EngineStopped() { return Unavailable("the engine has stopped", "engine_stopped"); }

Failure DrainTimeout() {
  Failure failure = Unavailable("the server is shutting down and the time for finishing is over",
                                "drain_timeout");
  AddErrorInfo(failure, "DRAIN_TIMEOUT", {});
  return failure;
}

Failure SlowConsumer() {
  Failure failure = Make(grpc::StatusCode::RESOURCE_EXHAUSTED,
                         "the client has left finished text unread for too long", "slow_consumer");
  AddErrorInfo(failure, "SLOW_CONSUMER", {});
  return failure;
}

Failure TokenMissing() {
  Failure failure = Make(grpc::StatusCode::UNAUTHENTICATED,
                         "authorization: a bearer token is needed", "unauthenticated");
  AddErrorInfo(failure, "TOKEN_MISSING", {});
  return failure;
}

Failure TokenInvalid() {
  Failure failure = Make(grpc::StatusCode::UNAUTHENTICATED,
                         "authorization: the token is not one that is let in", "unauthenticated");
  AddErrorInfo(failure, "TOKEN_INVALID", {});
  return failure;
}

Failure BodyTooLarge(int64_t limit) {
  Failure failure =
      Make(grpc::StatusCode::RESOURCE_EXHAUSTED,
           absl::StrCat("the body has more than ", limit, " bytes"), "body_too_large");
  failure.pushback_ms = -1;
  return failure;
}

Failure BodyTooSlow() {
  return Make(grpc::StatusCode::DEADLINE_EXCEEDED, "the request did not arrive in time",
              "body_too_slow");
}

Failure ConnectionsFull(int64_t limit) {
  return Unavailable(absl::StrCat("all ", limit, " connections are in use"), "connections_full");
}

Failure ModelForbidden(const std::string& model) {
  const std::string shown = Shorten(model, kMaxDescriptionBytes);
  Failure failure =
      Make(grpc::StatusCode::PERMISSION_DENIED,
           absl::StrCat("model: the token may not use '", shown, "'"), "permission_denied");
  AddErrorInfo(failure, "MODEL_FORBIDDEN", {{"model", shown}});
  return failure;
}

Failure Cancelled() {
  return Make(grpc::StatusCode::CANCELLED, "cancelled by the client", "cancelled");
}

Failure DeadlineInQueue() {
  Failure failure = Make(grpc::StatusCode::DEADLINE_EXCEEDED,
                         "the deadline passed before the request was started", "deadline");
  AddErrorInfo(failure, "QUEUE_DEADLINE", {});
  return failure;
}

Failure DeadlineTooShort(double seconds_left, double least_seconds) {
  const std::string left = absl::StrFormat("%.3f", seconds_left);
  const std::string least = absl::StrFormat("%.3f", least_seconds);
  Failure failure = Make(grpc::StatusCode::DEADLINE_EXCEEDED,
                         absl::StrCat("the deadline leaves ", left,
                                      " s, and the request takes at least ", least, " s alone"),
                         "deadline_too_short");
  AddErrorInfo(failure, "DEADLINE_TOO_SHORT", {{"seconds_left", left}, {"least_seconds", least}});
  return failure;
}

Failure DeadlineWhileRunning(int32_t steps_done, int32_t steps_planned) {
  Failure failure =
      Make(grpc::StatusCode::DEADLINE_EXCEEDED,
           absl::StrCat("the deadline passed after ", steps_done, " of ", steps_planned, " steps"),
           "deadline");
  AddErrorInfo(
      failure, "RUN_DEADLINE",
      {{"steps_done", absl::StrCat(steps_done)}, {"steps_planned", absl::StrCat(steps_planned)}});
  return failure;
}

Failure Internal() {
  return Make(grpc::StatusCode::INTERNAL,
              "internal error; the server's log has the cause under the request's id", "internal");
}

}  // namespace sparsed::server
