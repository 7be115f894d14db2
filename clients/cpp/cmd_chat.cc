#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "clients/cpp/chat_turns.h"
#include "clients/cpp/commands.h"
#include "clients/cpp/errors.h"
#include "clients/cpp/input_text.h"
#include "clients/cpp/request_flags.h"
#include "clients/cpp/terminal.h"

namespace sparsed::clients {
namespace {

struct ChatFlags {
  std::string system;
  std::vector<std::string> messages;
  RequestFlags request;
};

v1::GenerateRequest Start(const ChatFlags& flags) {
  v1::GenerateRequest request = ToRequest(flags.request);
  v1::Chat& chat = *request.mutable_chat();
  if (!flags.system.empty()) *chat.add_messages() = ParseTurn("system:" + flags.system);
  return request;
}

int RunOnce(const ChatFlags& flags, Environment& environment) {
  v1::GenerateRequest request = Start(flags);
  v1::Chat& chat = *request.mutable_chat();
  for (const std::string& message : flags.messages) *chat.add_messages() = ParseTurn(message);
  if (flags.messages.empty()) *chat.add_messages() = ParseTurn("user:" + TextOrStdin("-"));
  const Output output = flags.request.json ? Output::kJson : Output::kText;
  return RunRequest(environment, request, flags.request.deadline_seconds, output).exit_status;
}

void AddTurn(const char* role, const std::string& content, v1::GenerateRequest* request) {
  v1::ChatMessage* message = request->mutable_chat()->add_messages();
  message->set_role(role);
  message->set_content(content);
}

// Reads a line from the terminal after a prompt; false at the end of input.
bool ReadTurn(bool color, std::string* line) {
  WriteAll(STDOUT_FILENO, color ? "\x1b[1;36m›\x1b[0m " : "> ");
  return static_cast<bool>(std::getline(std::cin, *line));
}

int Converse(const ChatFlags& flags, Environment& environment) {
  const bool color = WantsColor();
  const std::string help = "/reset begins anew, /quit or Ctrl-D ends, Ctrl-C stops an answer.\n";
  WriteAll(STDOUT_FILENO, color ? "\x1b[90m" + help + "\x1b[0m" : help);
  v1::GenerateRequest request = Start(flags);
  std::string line;
  while (ReadTurn(color, &line)) {
    if (line.empty()) continue;
    if (line == "/quit") return kExitOk;
    if (line == "/reset") {
      request = Start(flags);
      continue;
    }
    if (line.front() == '/') {
      WriteAll(STDOUT_FILENO, help);
      continue;
    }
    AddTurn("user", line, &request);
    const RunResult result =
        RunRequest(environment, request, flags.request.deadline_seconds, Output::kText);
    if (result.exit_status == kExitOk) {
      AddTurn("assistant", result.response.text(), &request);
    } else {
      // An unanswered question does not stay in the conversation.
      request.mutable_chat()->mutable_messages()->RemoveLast();
    }
    WriteAll(STDOUT_FILENO, "\n");
  }
  WriteAll(STDOUT_FILENO, "\n");
  return kExitOk;
}

}  // namespace

Command AddChat(CLI::App& app) {
  CLI::App* command = app.add_subcommand("chat", "Talk to the model");
  command->footer(
      "A conversation on a terminal; one answer with --message, or with the user's turn from a "
      "pipe.");
  auto flags = std::make_shared<ChatFlags>();
  command->add_option("--system", flags->system, "What the model is told first")->type_name("TEXT");
  command
      ->add_option("--message,-m", flags->messages,
                   "A turn: user:TEXT, assistant:TEXT, system:TEXT or TEXT (the user's); "
                   "may be repeated")
      ->type_name("[ROLE:]TEXT")
      ->allow_extra_args(false);
  AddRequestFlags(*command, FlagSet::kGenerate, flags->request);
  return {command, [flags](Environment& environment) {
            const bool converse = flags->messages.empty() && !flags->request.json &&
                                  isatty(STDIN_FILENO) == 1 && IsLiveTerminal(STDOUT_FILENO);
            return converse ? Converse(*flags, environment) : RunOnce(*flags, environment);
          }};
}

}  // namespace sparsed::clients
