// How a failed call is told to the user.
#pragma once

#include <grpcpp/support/status.h>

#include <chrono>
#include <optional>
#include <string>

namespace sparsed::clients {

// Exit statuses of every command.
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;         // the call failed, or the answer is "no"
inline constexpr int kExitUsage = 2;          // wrong flags, files or templates
inline constexpr int kExitInterrupted = 130;  // Ctrl-C, as shells count it

// The name of a code as the gRPC documentation writes it: "INVALID_ARGUMENT".
std::string StatusCodeName(grpc::StatusCode code);

// The error as lines, each ended by a newline: `error: CODE: message`, then what
// grpc-status-details-bin says (google.rpc.Status), indented, one fact a line. Details that cannot
// be read are left out. Safe to print on a terminal.
std::string RenderError(const grpc::Status& status);

// How long the server asks to wait before the call is made again: google.rpc.RetryInfo. None where
// it does not ask.
std::optional<std::chrono::milliseconds> RetryDelay(const grpc::Status& status);

}  // namespace sparsed::clients
