#include "clients/cpp/errors.h"

#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "clients/cpp/text_cells.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace sparsed::clients {
namespace {

double Seconds(const google::protobuf::Duration& duration) {
  return static_cast<double>(duration.seconds()) + duration.nanos() * 1e-9;
}

std::string Render(const google::rpc::BadRequest& detail) {
  std::string lines;
  for (const auto& violation : detail.field_violations()) {
    absl::StrAppend(&lines, "  ", violation.field(), ": ", violation.description(), "\n");
  }
  return lines;
}

std::string Render(const google::rpc::ErrorInfo& detail) {
  std::string line = absl::StrCat("  reason: ", detail.reason());
  if (!detail.domain().empty()) absl::StrAppend(&line, " (", detail.domain(), ")");
  // A protobuf map has no order; the same error is printed the same way each time.
  const std::map<std::string, std::string> facts(detail.metadata().begin(),
                                                 detail.metadata().end());
  const char* separator = "; ";
  for (const auto& [key, value] : facts) {
    absl::StrAppend(&line, separator, key, " = ", value);
    separator = ", ";
  }
  return line + "\n";
}

std::string Render(const google::rpc::RetryInfo& detail) {
  return absl::StrFormat("  retry in: %.3g s\n", Seconds(detail.retry_delay()));
}

std::string Render(const google::rpc::ResourceInfo& detail) {
  std::string line =
      absl::StrCat("  resource: ", detail.resource_type(), " \"", detail.resource_name(), "\"");
  if (!detail.description().empty()) absl::StrAppend(&line, ": ", detail.description());
  return line + "\n";
}

std::string Render(const google::rpc::QuotaFailure& detail) {
  std::string lines;
  for (const auto& violation : detail.violations()) {
    absl::StrAppend(&lines, "  quota: ", violation.subject(), ": ", violation.description(), "\n");
  }
  return lines;
}

std::string Render(const google::rpc::PreconditionFailure& detail) {
  std::string lines;
  for (const auto& violation : detail.violations()) {
    absl::StrAppend(&lines, "  precondition: ", violation.type(), " ", violation.subject(), ": ",
                    violation.description(), "\n");
  }
  return lines;
}

std::string Render(const google::rpc::RequestInfo& detail) {
  return absl::StrCat("  request id: ", detail.request_id(), "\n");
}

// Appends `any` if it holds a Detail; false if it holds another message or cannot be read.
template <class Detail>
bool AppendIf(const google::protobuf::Any& any, std::string* lines) {
  Detail detail;
  if (!any.Is<Detail>() || !any.UnpackTo(&detail)) return false;
  *lines += Render(detail);
  return true;
}

void Append(const google::protobuf::Any& any, std::string* lines) {
  AppendIf<google::rpc::BadRequest>(any, lines) || AppendIf<google::rpc::ErrorInfo>(any, lines) ||
      AppendIf<google::rpc::RetryInfo>(any, lines) ||
      AppendIf<google::rpc::ResourceInfo>(any, lines) ||
      AppendIf<google::rpc::QuotaFailure>(any, lines) ||
      AppendIf<google::rpc::PreconditionFailure>(any, lines) ||
      AppendIf<google::rpc::RequestInfo>(any, lines);
}

}  // namespace

std::string StatusCodeName(grpc::StatusCode code) {
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
  const int index = static_cast<int>(code);
  if (index < 0 || index > 16) return absl::StrCat("CODE_", index);
  return kNames[index];
}

std::string RenderError(const grpc::Status& status) {
  std::string lines = absl::StrCat("error: ", StatusCodeName(status.error_code()), ": ",
                                   status.error_message(), "\n");
  google::rpc::Status details;
  if (details.ParseFromString(status.error_details())) {
    for (const auto& any : details.details()) Append(any, &lines);
  }
  return SafeForTerminal(lines);
}

std::optional<std::chrono::milliseconds> RetryDelay(const grpc::Status& status) {
  google::rpc::Status details;
  if (!details.ParseFromString(status.error_details())) return std::nullopt;
  for (const auto& any : details.details()) {
    google::rpc::RetryInfo retry;
    if (any.Is<google::rpc::RetryInfo>() && any.UnpackTo(&retry)) {
      return std::chrono::milliseconds(static_cast<int64_t>(Seconds(retry.retry_delay()) * 1000));
    }
  }
  return std::nullopt;
}

}  // namespace sparsed::clients
