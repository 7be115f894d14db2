#include "clients/cpp/run_request.h"

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <string>

#include "absl/strings/str_cat.h"
#include "clients/cpp/errors.h"
#include "clients/cpp/json_output.h"
#include "clients/cpp/live_session.h"
#include "clients/cpp/live_view.h"
#include "clients/cpp/terminal.h"
#include "clients/cpp/text_cells.h"

namespace sparsed::clients {
namespace {

void SetDeadline(std::optional<double> seconds, grpc::ClientContext* context) {
  if (!seconds) return;
  context->set_deadline(std::chrono::system_clock::now() +
                        std::chrono::milliseconds(static_cast<int64_t>(*seconds * 1000)));
}

// The model's mask token; none where the server does not say, which costs the highlights only.
uint32_t MaskId(Connection& connection, const std::string& model) {
  constexpr std::chrono::seconds kPatience(2);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kPatience);
  v1::GetModelRequest request;
  request.set_name(model);
  v1::GetModelResponse response;
  const grpc::Status status = connection.models().GetModel(&context, request, &response);
  return status.ok() ? response.model().mask_token_id() : UINT32_MAX;
}

grpc::Status Stream(Connection& connection, const v1::GenerateRequest& request,
                    grpc::ClientContext* context, LiveSession* live,
                    v1::GenerateResponse* response) {
  v1::StreamGenerateRequest stream_request;
  *stream_request.mutable_request() = request;
  stream_request.set_frames(true);
  stream_request.set_progress(true);
  const auto reader = connection.generation().StreamGenerate(context, stream_request);
  v1::StreamGenerateResponse event;
  bool finished = false;
  while (reader->Read(&event)) {
    live->OnEvent(event);
    if (!event.has_final()) continue;
    response->Swap(event.mutable_final());
    finished = true;
  }
  const grpc::Status status = reader->Finish();
  if (status.ok() && !finished) {
    return grpc::Status(grpc::StatusCode::INTERNAL, "the stream ended without a final event");
  }
  return status;
}

void PrintOnTerminal(const v1::GenerateResponse& response) {
  const bool color = WantsColor();
  const std::string summary = RenderSummary(response, SizeOf(STDOUT_FILENO).columns);
  WriteAll(STDOUT_FILENO,
           absl::StrCat(SafeForTerminal(response.text()), "\n\n", color ? "\x1b[90m" : "", summary,
                        color ? "\x1b[0m" : "", "\n"));
}

}  // namespace

RunResult RunRequest(Environment& environment, const v1::GenerateRequest& request,
                     std::optional<double> deadline_seconds, Output output) {
  const bool live = output == Output::kText && IsLiveTerminal(STDOUT_FILENO);
  const uint32_t mask_id = live ? MaskId(environment.connection, request.model()) : UINT32_MAX;
  RunResult result;
  grpc::ClientContext context;
  SetDeadline(deadline_seconds, &context);
  Interrupt::Scope scope(environment.interrupt, [&context] { context.TryCancel(); });
  grpc::Status status;
  LiveState last;
  if (live) {
    LiveSession session(STDOUT_FILENO, WantsColor(), mask_id);
    status = Stream(environment.connection, request, &context, &session, &result.response);
    last = session.Stop();
  } else {
    status = environment.connection.generation().Generate(&context, request, &result.response);
  }
  if (!status.ok() && scope.interrupted()) {
    const std::string where =
        last.steps > 0 ? absl::StrCat(" after ", last.step, " of ", last.steps, " steps") : "";
    std::fputs(absl::StrCat("cancelled", where, "\n").c_str(), stderr);
    result.interrupted = true;
    result.exit_status = kExitInterrupted;
  } else if (!status.ok()) {
    std::fputs(RenderError(status).c_str(), stderr);
    result.exit_status = kExitFailed;
  } else if (output == Output::kJson) {
    WriteAll(STDOUT_FILENO, ToJson(result.response));
  } else if (live) {
    PrintOnTerminal(result.response);
  } else {
    WriteAll(STDOUT_FILENO, result.response.text() + "\n");
  }
  return result;
}

}  // namespace sparsed::clients
