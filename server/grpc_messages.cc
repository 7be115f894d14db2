#include "server/grpc_messages.h"

#include <grpc/support/log.h>

#include <mutex>
#include <string>

namespace sparsed::server {
namespace {

// gRPC has one function for the whole process, gives it nothing to write to, and its threads may
// still call it when the server is gone.
struct Receiver {
  std::mutex mu;
  const Log* log = nullptr;  // guarded by mu
};

Receiver& TheReceiver() {
  static Receiver* const receiver = new Receiver();  // outlives those threads
  return *receiver;
}

void Write(gpr_log_func_args* args) {
  Receiver& receiver = TheReceiver();
  const std::lock_guard lock(receiver.mu);
  if (receiver.log == nullptr) return;
  const LogFields fields = {{"cause", std::string(args->message)}};
  // Most of its errors are those of clients.
  if (args->severity == GPR_LOG_SEVERITY_ERROR) {
    receiver.log->Warning("grpc", fields);
  } else {
    receiver.log->Info("grpc", fields);
  }
}

void SendTo(const Log* log) {
  Receiver& receiver = TheReceiver();
  const std::lock_guard lock(receiver.mu);
  receiver.log = log;
}

}  // namespace

GrpcMessages::GrpcMessages(const Log* log) {
  SendTo(log);
  gpr_set_log_function(Write);
}

GrpcMessages::~GrpcMessages() { SendTo(nullptr); }

}  // namespace sparsed::server
