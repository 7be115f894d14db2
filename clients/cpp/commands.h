// The commands of sparsedctl. Each function adds its command to `app`.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

#include "clients/cpp/run_request.h"

namespace sparsed::clients {

// A command: what the command line is parsed into, and what then runs; returns the exit status.
struct Command {
  CLI::App* parser;
  std::function<int(Environment&)> run;
};

Command AddGenerate(CLI::App& app);
Command AddChat(CLI::App& app);
Command AddInfill(CLI::App& app);
Command AddEval(CLI::App& app);
Command AddLoad(CLI::App& app);
Command AddMasks(CLI::App& app);
Command AddDrain(CLI::App& app);
Command AddHealth(CLI::App& app);
Command AddModels(CLI::App& app);
Command AddInfo(CLI::App& app);

}  // namespace sparsed::clients
