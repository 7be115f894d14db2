#include <chrono>
#include <cstdio>
#include <fstream>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "clients/cpp/chat_turns.h"
#include "clients/cpp/commands.h"
#include "clients/cpp/errors.h"
#include "clients/cpp/input_text.h"
#include "clients/cpp/live_view.h"
#include "clients/cpp/mask_page.h"
#include "clients/cpp/mask_report.h"
#include "clients/cpp/request_flags.h"
#include "clients/cpp/table.h"

namespace sparsed::clients {
namespace {

struct MasksFlags {
  std::string prompt = "-";
  std::string message;
  std::vector<uint32_t> layers;
  std::vector<uint32_t> heads;
  std::vector<uint32_t> steps;
  bool no_importance = false;
  std::string output = "masks.html";
  RequestFlags request;
};

// The first, the last, and three in between; the server adds the one that selects.
std::vector<uint32_t> DefaultSteps(const RequestFlags& flags) {
  constexpr uint32_t kDefaultGenLength = 128;
  const uint32_t steps = flags.steps.value_or(flags.gen_length.value_or(kDefaultGenLength));
  std::set<uint32_t> chosen;
  for (uint32_t quarter = 0; quarter < 4; ++quarter) {
    chosen.insert(static_cast<uint32_t>(uint64_t{steps} * quarter / 4));
  }
  if (steps > 0) chosen.insert(steps - 1);
  return {chosen.begin(), chosen.end()};
}

v1::InspectRequest ToInspectRequest(const MasksFlags& flags) {
  v1::InspectRequest inspect;
  v1::GenerateRequest& request = *inspect.mutable_request();
  request = ToRequest(flags.request);
  if (!flags.request.sparse) request.mutable_sparse()->set_mode(v1::SPARSE_MODE_SPARSED);
  if (!flags.message.empty()) {
    *request.mutable_chat()->add_messages() = ParseTurn(flags.message);
  } else {
    request.set_prompt(TextOrStdin(flags.prompt));
  }
  inspect.mutable_layers()->Add(flags.layers.begin(), flags.layers.end());
  inspect.mutable_heads()->Add(flags.heads.begin(), flags.heads.end());
  const std::vector<uint32_t> steps =
      flags.steps.empty() ? DefaultSteps(flags.request) : flags.steps;
  inspect.mutable_steps()->Add(steps.begin(), steps.end());
  inspect.set_importance(!flags.no_importance);
  return inspect;
}

grpc::Status Inspect(Connection& connection, const v1::InspectRequest& request,
                     grpc::ClientContext* context, MaskReport* report) {
  const auto reader = connection.inspection().Inspect(context, request);
  v1::InspectResponse event;
  bool finished = false;
  while (reader->Read(&event)) {
    if (event.has_started()) report->started.Swap(event.mutable_started());
    if (event.has_head()) report->heads.push_back(std::move(*event.mutable_head()));
    if (!event.has_final()) continue;
    report->result.Swap(event.mutable_final());
    finished = true;
  }
  const grpc::Status status = reader->Finish();
  if (!status.ok() || finished) return status;
  return grpc::Status(grpc::StatusCode::INTERNAL, "the stream ended without a final event");
}

std::string OrDash(std::optional<double> value) {
  return value ? absl::StrFormat("%.3f", *value) : "-";
}

void PrintSteps(const MaskReport& report) {
  std::vector<std::vector<std::string>> rows = {
      {"STEP", "KIND", "RECALL", "LEAST", "AT", "IF SELECTED HERE", "SIMILARITY", "KEPT"}};
  for (const StepSummary& summary : Summarize(report)) {
    const std::string where = summary.least_recall
                                  ? absl::StrCat("L", summary.least_layer, " H", summary.least_head)
                                  : "-";
    rows.push_back({absl::StrCat(summary.step), KindName(summary.kind), OrDash(summary.recall),
                    OrDash(summary.least_recall), where, OrDash(summary.fresh_recall),
                    OrDash(summary.similarity), absl::StrFormat("%.1f%%", 100 * summary.kept)});
  }
  std::fputs(RenderTable(rows, {0, 2, 3, 5, 6, 7}).c_str(), stdout);
}

int RunMasks(const MasksFlags& flags, Environment& environment) {
  const v1::InspectRequest request = ToInspectRequest(flags);
  grpc::ClientContext context;
  if (flags.request.deadline_seconds) {
    context.set_deadline(
        std::chrono::system_clock::now() +
        std::chrono::milliseconds(static_cast<int64_t>(*flags.request.deadline_seconds * 1000)));
  }
  Interrupt::Scope scope(environment.interrupt, [&context] { context.TryCancel(); });
  MaskReport report;
  const grpc::Status status = Inspect(environment.connection, request, &context, &report);
  if (!status.ok() && scope.interrupted()) {
    std::fputs("cancelled\n", stderr);
    return kExitInterrupted;
  }
  if (!status.ok()) {
    std::fputs(RenderError(status).c_str(), stderr);
    if (status.error_code() == grpc::StatusCode::UNIMPLEMENTED) {
      std::fputs("  the server shows no patterns unless it is started with --enable-inspection\n",
                 stderr);
    }
    return kExitFailed;
  }
  const absl::Status right = CheckReport(report);
  if (!right.ok()) {
    std::fputs(absl::StrCat("error: ", right.message(), "\n").c_str(), stderr);
    return kExitFailed;
  }
  std::ofstream file(flags.output, std::ios::binary);
  file << RenderMaskPage(report);
  file.close();
  if (!file) {
    std::fputs(absl::StrCat("error: cannot write ", flags.output, "\n").c_str(), stderr);
    return kExitUsage;
  }
  if (flags.request.json) {
    std::fputs(ReportJson(report).c_str(), stdout);
    return kExitOk;
  }
  PrintSteps(report);
  std::fputs(absl::StrCat("heat maps by layer and head: ", flags.output, "\n").c_str(), stdout);
  return kExitOk;
}

}  // namespace

Command AddMasks(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("masks", "Generate, and report which blocks SparseD keeps");
  command->footer(
      "  sparsedctl masks --message 'What is 3 + 6671?' --inspect-steps 2,10,20\n"
      "SparseD is used at any length unless --sparse says otherwise. The server must have been\n"
      "started with --enable-inspection.");
  auto flags = std::make_shared<MasksFlags>();
  command
      ->add_option("--prompt,-p", flags->prompt,
                   "The prompt, special tokens parsed; -, the default: standard input")
      ->type_name("TEXT");
  command->add_option("--message,-m", flags->message, "A user's turn, instead of a prompt")
      ->type_name("TEXT")
      ->excludes("--prompt");
  const auto add_list = [command](const char* flag, std::vector<uint32_t>& list, const char* help) {
    command->add_option(flag, list, help)->type_name("N,...")->delimiter(',');
  };
  add_list("--layers", flags->layers, "Layers to inspect (default: all)");
  add_list("--heads", flags->heads, "Heads to inspect (default: all)");
  add_list("--inspect-steps", flags->steps,
           "Steps to inspect beside the one that selects (default: five, evenly spread)");
  command->add_flag("--no-importance", flags->no_importance,
                    "Which blocks are kept only, not how much attention each has");
  command->add_option("--output,-o", flags->output, "Where the HTML report goes")
      ->type_name("FILE")
      ->capture_default_str();
  AddRequestFlags(*command, FlagSet::kGenerate, flags->request);
  command->get_option("--json")->description("Print all that was inspected as JSON");
  return {command, [flags](Environment& environment) { return RunMasks(*flags, environment); }};
}

}  // namespace sparsed::clients
