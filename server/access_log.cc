#include "server/access_log.h"

#include <cmath>

#include "absl/strings/ascii.h"

namespace sparsed::server {
namespace {

double Milliseconds(double seconds) { return std::round(seconds * 1e6) / 1e3; }

}  // namespace

void AccessLog::Write(const CallInfo& call, const Failure* failure, const RunStats& stats) const {
  const std::string code = CodeName(failure == nullptr ? grpc::StatusCode::OK : failure->code());
  LogFields fields = {{"request_id", call.request_id},
                      {"trace_id", call.trace_id},
                      {"span_id", call.span_id},
                      {"surface", call.surface},
                      {"method", call.method},
                      {"peer", call.peer},
                      {"code", code},
                      {"total_ms", Milliseconds(stats.total_seconds)}};
  if (!call.parent_span_id.empty()) fields["parent_span_id"] = call.parent_span_id;
  if (!call.trace_state.empty()) fields["trace_state"] = call.trace_state;
  if (!call.caller.name.empty()) fields["client"] = call.caller.name;
  if (call.surface == "openai") fields["status"] = HttpStatus(failure);
  if (failure != nullptr) fields["reason"] = failure->reason;
  if (call.generation) {
    fields["queue_ms"] = Milliseconds(stats.queue_seconds);
    fields["run_ms"] = Milliseconds(stats.run_seconds);
    fields["steps"] = stats.steps;
    fields["prompt_tokens"] = stats.prompt_tokens;
    fields["generated_tokens"] = stats.generated_tokens;
    metrics_->RequestDone(call.surface, absl::AsciiStrToLower(code), stats);
  }
  log_->Info("access", fields);
}

}  // namespace sparsed::server
