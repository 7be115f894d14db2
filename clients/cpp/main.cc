// sparsedctl: the command-line client of sparsed.
#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "clients/cpp/commands.h"
#include "clients/cpp/connection.h"
#include "clients/cpp/errors.h"
#include "clients/cpp/interrupt.h"

int main(int argc, char** argv) {
  namespace clients = sparsed::clients;
  clients::Interrupt interrupt;
  CLI::App app(
      "Command-line client of sparsed, an inference server for diffusion language models.");
  std::string address = "127.0.0.1:8001";
  app.add_option("--address,-a", address, "Where the server listens; may follow the command")
      ->type_name("HOST:PORT")
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast)
      ->capture_default_str();
  app.require_subcommand(1);
  app.fallthrough();
  app.footer(
      "Exit status: 0 done, 1 the call failed, 2 wrong usage, 130 stopped by Ctrl-C.\n"
      "On a terminal generate, chat and infill show the canvas while it is denoised; NO_COLOR=1\n"
      "leaves colours out.");
  const std::vector<clients::Command> commands = {
      clients::AddGenerate(app), clients::AddChat(app), clients::AddInfill(app),
      clients::AddEval(app),     clients::AddLoad(app), clients::AddHealth(app),
      clients::AddModels(app),   clients::AddInfo(app)};
  // CLI11 reports --help and wrong usage by exceptions; they end here.
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? clients::kExitOk : clients::kExitUsage;
  }
  clients::Connection connection;
  connection.Open(address);
  clients::Environment environment{connection, interrupt};
  for (const clients::Command& command : commands) {
    if (command.parser->parsed()) return command.run(environment);
  }
  return clients::kExitUsage;
}
