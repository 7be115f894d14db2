// sparsedctl: the command-line client of sparsed.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>
#include <vector>

#include "clients/cpp/commands.h"
#include "clients/cpp/connection.h"
#include "clients/cpp/errors.h"
#include "clients/cpp/interrupt.h"

namespace {

void AddConnectionOptions(CLI::App& app, sparsed::clients::ConnectionOptions& connect) {
  app.add_option("--address,-a", connect.address,
                 "Where the server listens; may follow the command")
      ->type_name("HOST:PORT")
      ->envname("SPARSEDCTL_ADDRESS")
      ->take_last()
      ->capture_default_str();
  const auto add_file = [&app](const char* flag, std::string& path, const char* variable,
                               const char* help) {
    app.add_option(flag, path, help)->type_name("FILE")->envname(variable)->take_last();
  };
  add_file("--tls-ca", connect.tls_ca, "SPARSEDCTL_TLS_CA",
           "TLS, with the authority (PEM) of the server's certificate");
  add_file("--tls-cert", connect.tls_cert, "SPARSEDCTL_TLS_CERT", "Certificate (PEM) to show it");
  add_file("--tls-key", connect.tls_key, "SPARSEDCTL_TLS_KEY", "Key (PEM) of that certificate");
  add_file("--token-file", connect.token_file, "SPARSEDCTL_TOKEN_FILE",
           "File with the bearer token to send");
}

}  // namespace

int main(int argc, char** argv) {
  namespace clients = sparsed::clients;
  clients::Interrupt interrupt;
  CLI::App app(
      "Command-line client of sparsed, an inference server for diffusion language models.");
  clients::ConnectionOptions connect;
  AddConnectionOptions(app, connect);
  app.require_subcommand(1);
  app.fallthrough();
  app.footer(
      "Exit status: 0 done, 1 the call failed, 2 wrong usage, 130 stopped by Ctrl-C.\n"
      "On a terminal generate, chat and infill show the canvas while it is denoised; NO_COLOR=1\n"
      "leaves colours out.");
  const std::vector<clients::Command> commands = {
      clients::AddGenerate(app), clients::AddChat(app), clients::AddInfill(app),
      clients::AddEval(app),     clients::AddLoad(app), clients::AddHealth(app),
      clients::AddModels(app),   clients::AddInfo(app), clients::AddMasks(app),
      clients::AddDrain(app)};
  // CLI11 reports --help and wrong usage by exceptions; they end here.
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? clients::kExitOk : clients::kExitUsage;
  }
  clients::Connection connection;
  const absl::Status opened = connection.Open(connect);
  if (!opened.ok()) {
    std::fprintf(stderr, "error: %s\n", std::string(opened.message()).c_str());
    return clients::kExitUsage;
  }
  clients::Environment environment{connection, interrupt};
  for (const clients::Command& command : commands) {
    if (command.parser->parsed()) return command.run(environment);
  }
  return clients::kExitUsage;
}
