#include <memory>
#include <string>

#include "clients/cpp/commands.h"
#include "clients/cpp/input_text.h"
#include "clients/cpp/request_flags.h"

namespace sparsed::clients {
namespace {

struct GenerateFlags {
  std::string prompt = "-";
  RequestFlags request;
};

}  // namespace

Command AddGenerate(CLI::App& app) {
  CLI::App* command = app.add_subcommand("generate", "Continue a prompt");
  auto flags = std::make_shared<GenerateFlags>();
  command
      ->add_option("--prompt,-p", flags->prompt,
                   "The prompt, special tokens parsed; -, the default: standard input")
      ->type_name("TEXT");
  AddRequestFlags(*command, FlagSet::kGenerate, flags->request);
  return {command, [flags](Environment& environment) {
            v1::GenerateRequest request = ToRequest(flags->request);
            request.set_prompt(TextOrStdin(flags->prompt));
            const Output output = flags->request.json ? Output::kJson : Output::kText;
            return RunRequest(environment, request, flags->request.deadline_seconds, output)
                .exit_status;
          }};
}

}  // namespace sparsed::clients
