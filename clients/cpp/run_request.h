// Sends one GenerateRequest and shows its course and its result.
#pragma once

#include <grpcpp/support/status.h>

#include <optional>

#include "clients/cpp/connection.h"
#include "clients/cpp/interrupt.h"
#include "sparsed/v1/generation.pb.h"

namespace sparsed::clients {

// What commands work with.
struct Environment {
  Connection& connection;
  Interrupt& interrupt;
};

enum class Output {
  kText,  // the text alone, and live on a terminal: the canvas, then the text and a summary
  kJson,  // the response as JSON, proto field names
};

struct RunResult {
  int exit_status = 0;
  bool interrupted = false;       // Ctrl-C; the call was cancelled
  v1::GenerateResponse response;  // if exit_status is 0
};

// Runs the request to its end, printing the result on standard output and errors on standard error.
// Ctrl-C cancels the call. No deadline: as long as the server takes.
RunResult RunRequest(Environment& environment, const v1::GenerateRequest& request,
                     std::optional<double> deadline_seconds, Output output);

}  // namespace sparsed::clients
