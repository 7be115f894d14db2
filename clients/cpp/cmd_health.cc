#include <cstdio>
#include <memory>
#include <string>

#include "clients/cpp/commands.h"
#include "clients/cpp/errors.h"

namespace sparsed::clients {
namespace {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

struct HealthFlags {
  std::string service;
  bool watch = false;
  double deadline_seconds = 10;
};

void Print(const HealthCheckResponse& response) {
  const std::string name = HealthCheckResponse::ServingStatus_Name(response.status());
  std::printf("%s\n", name.c_str());
  std::fflush(stdout);
}

int HealthFailed(const grpc::Status& status) {
  std::fputs(RenderError(status).c_str(), stderr);
  return kExitFailed;
}

int Check(const HealthFlags& flags, const HealthCheckRequest& request, Environment& environment) {
  grpc::ClientContext context;
  context.set_deadline(
      std::chrono::system_clock::now() +
      std::chrono::milliseconds(static_cast<int64_t>(flags.deadline_seconds * 1000)));
  HealthCheckResponse response;
  const grpc::Status status = environment.connection.health().Check(&context, request, &response);
  if (!status.ok()) return HealthFailed(status);
  Print(response);
  return response.status() == HealthCheckResponse::SERVING ? kExitOk : kExitFailed;
}

int Watch(const HealthCheckRequest& request, Environment& environment) {
  grpc::ClientContext context;
  Interrupt::Scope scope(environment.interrupt, [&context] { context.TryCancel(); });
  const auto reader = environment.connection.health().Watch(&context, request);
  HealthCheckResponse response;
  while (reader->Read(&response)) Print(response);
  const grpc::Status status = reader->Finish();
  if (scope.interrupted()) return kExitInterrupted;
  if (!status.ok()) return HealthFailed(status);
  return response.status() == HealthCheckResponse::SERVING ? kExitOk : kExitFailed;
}

}  // namespace

Command AddHealth(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("health", "Ask whether the server serves; exit status 0 if so");
  auto flags = std::make_shared<HealthFlags>();
  command->add_option("--service", flags->service, "A service, or model/NAME (default: the server)")
      ->type_name("NAME");
  command->add_flag("--watch", flags->watch, "Print every change until the server ends the stream");
  command->add_option("--deadline-seconds", flags->deadline_seconds, "Patience without --watch")
      ->type_name("X")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  return {command, [flags](Environment& environment) {
            HealthCheckRequest request;
            request.set_service(flags->service);
            return flags->watch ? Watch(request, environment) : Check(*flags, request, environment);
          }};
}

}  // namespace sparsed::clients
