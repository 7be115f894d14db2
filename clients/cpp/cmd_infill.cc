#include <cstdio>
#include <memory>
#include <string>

#include "clients/cpp/commands.h"
#include "clients/cpp/errors.h"
#include "clients/cpp/infill_template.h"
#include "clients/cpp/input_text.h"
#include "clients/cpp/request_flags.h"

namespace sparsed::clients {
namespace {

struct InfillFlags {
  std::string text;
  RequestFlags request;
};

int RunInfill(const InfillFlags& flags, Environment& environment) {
  const auto infill = ParseInfillTemplate(TextOrStdin(flags.text));
  if (!infill.ok()) {
    std::fputs(("error: " + std::string(infill.status().message()) + "\n").c_str(), stderr);
    return kExitUsage;
  }
  v1::GenerateRequest request = ToRequest(flags.request);
  *request.mutable_infill() = *infill;
  const Output output = flags.request.json ? Output::kJson : Output::kText;
  return RunRequest(environment, request, flags.request.deadline_seconds, output).exit_status;
}

}  // namespace

Command AddInfill(CLI::App& app) {
  CLI::App* command = app.add_subcommand("infill", "Fill the holes of a text");
  command->footer(
      "  sparsedctl infill 'The capital of {{4}} is Paris{{2}}.'\n"
      "{{N}} is a hole of N tokens. \\{{ stands for two literal braces, \\\\{{N}} for a backslash\n"
      "and then a hole.");
  auto flags = std::make_shared<InfillFlags>();
  command
      ->add_option("template,--template,-t", flags->text,
                   "The text with holes, special tokens parsed; - reads standard input")
      ->type_name("TEXT")
      ->required();
  AddRequestFlags(*command, FlagSet::kInfill, flags->request);
  return {command, [flags](Environment& environment) { return RunInfill(*flags, environment); }};
}

}  // namespace sparsed::clients
