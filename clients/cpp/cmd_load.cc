#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "clients/cpp/commands.h"
#include "clients/cpp/errors.h"
#include "clients/cpp/eval_progress.h"
#include "clients/cpp/line_chart.h"
#include "clients/cpp/load_run.h"
#include "clients/cpp/load_schedule.h"
#include "clients/cpp/load_stats.h"
#include "clients/cpp/terminal.h"

namespace sparsed::clients {
namespace {

struct LoadFlags {
  std::vector<double> rates = {1};
  double seconds = 30;
  std::string arrivals = "poisson";
  std::string mix;
  LoadKind kind;
  size_t max_in_flight = 256;
  double deadline_seconds = 120;
  uint64_t seed = 1;
  std::string model;
  std::string json;
  std::string plot;
};

int LoadFailed(const std::string& message, int exit_status) {
  std::fputs(absl::StrCat("error: ", message, "\n").c_str(), stderr);
  return exit_status;
}

// Tokens of plain text, to make prompts of any length from.
grpc::Status PromptIds(Connection& connection, const std::string& model,
                       std::vector<uint32_t>* ids) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
  v1::TokenizeRequest request;
  request.set_model(model);
  request.set_text("The river flows through the old town and people stand at its banks. ");
  v1::TokenizeResponse response;
  const grpc::Status status = connection.generation().Tokenize(&context, request, &response);
  ids->assign(response.token_ids().begin(), response.token_ids().end());
  if (status.ok() && ids->empty()) {
    return grpc::Status(grpc::StatusCode::INTERNAL, "the server made no tokens of plain text");
  }
  return status;
}

v1::GenerateRequest MakeRequest(const LoadKind& kind, const std::string& model,
                                const std::vector<uint32_t>& ids) {
  v1::GenerateRequest request;
  request.set_model(model);
  for (uint32_t i = 0; i < kind.prompt_tokens; ++i) {
    request.mutable_token_ids()->add_ids(ids[i % ids.size()]);
  }
  v1::SamplingOptions& sampling = *request.mutable_sampling();
  sampling.set_gen_length(kind.gen_length);
  sampling.set_steps(kind.steps);
  sampling.set_seed(1);
  // The same work each time, whatever the model says.
  sampling.set_stop_at_end(false);
  request.mutable_sparse()->set_mode(kind.sparse);
  if (kind.priority != 0) request.set_priority(kind.priority);
  return request;
}

std::string ProgressLine(const LoadProgress& progress, const std::vector<LoadSample>& samples,
                         double rate, double seconds) {
  std::vector<double> total;
  for (const LoadSample& sample : samples) {
    if (sample.code == "OK") total.push_back(sample.total);
  }
  std::vector<std::string> parts = {
      absl::StrFormat("%.3g/s", rate),
      absl::StrCat(RenderSeconds(progress.seconds), " of ", RenderSeconds(seconds)),
      absl::StrCat(progress.sent, " sent"), absl::StrCat(progress.in_flight, " in flight"),
      absl::StrCat(progress.failed, " failed")};
  if (!total.empty()) {
    parts.push_back(absl::StrFormat("p50 %.2f s", Percentile(total, 0.5)));
    parts.push_back(absl::StrFormat("p99 %.2f s", Percentile(total, 0.99)));
  }
  return absl::StrJoin(parts, " · ");
}

// The line, while the output is a terminal and wide enough.
void Draw(LiveLines& lines, std::string line) {
  const int columns = SizeOf(STDERR_FILENO).columns - 1;
  while (VisibleColumns(line) > columns) {
    const size_t cut = line.rfind(" · ");
    if (cut == std::string::npos) return;
    line.resize(cut);
  }
  lines.Draw({line});
}

std::string Settings(const LoadFlags& flags, const std::vector<LoadKind>& mix) {
  nlohmann::json json = {{"seconds", flags.seconds},
                         {"arrivals", flags.arrivals},
                         {"seed", flags.seed},
                         {"max_in_flight", flags.max_in_flight},
                         {"deadline_seconds", flags.deadline_seconds}};
  for (const LoadKind& kind : mix) {
    json["mix"].push_back({{"name", kind.name},
                           {"weight", kind.weight},
                           {"prompt_tokens", kind.prompt_tokens},
                           {"gen_length", kind.gen_length},
                           {"steps", kind.steps},
                           {"priority", kind.priority}});
  }
  return json.dump();
}

bool WriteFile(const std::string& path, const std::string& text) {
  std::ofstream file(path);
  file << text;
  return static_cast<bool>(file.flush());
}

int Report(const LoadFlags& flags, const std::vector<LoadKind>& mix,
           const std::vector<LoadSummary>& summaries) {
  std::fputs(RenderLoadTable(summaries).c_str(), stdout);
  if (!flags.json.empty() && !WriteFile(flags.json, LoadJson(summaries, Settings(flags, mix)))) {
    return LoadFailed(flags.json + ": cannot be written", kExitFailed);
  }
  if (!flags.plot.empty() && !WriteFile(flags.plot, RenderSvg(LoadChart(summaries)))) {
    return LoadFailed(flags.plot + ": cannot be written", kExitFailed);
  }
  return kExitOk;
}

int RunLoadTest(const LoadFlags& flags, Environment& environment) {
  std::vector<LoadKind> mix = {flags.kind};
  if (!flags.mix.empty()) {
    auto loaded = LoadMix(flags.mix);
    if (!loaded.ok()) return LoadFailed(std::string(loaded.status().message()), kExitUsage);
    mix = *std::move(loaded);
  }
  environment.connection.ReopenWithoutRetries();
  std::vector<uint32_t> ids;
  const grpc::Status status = PromptIds(environment.connection, flags.model, &ids);
  if (!status.ok()) {
    std::fputs(RenderError(status).c_str(), stderr);
    return kExitFailed;
  }
  LoadRun run;
  for (const LoadKind& kind : mix) run.requests.push_back(MakeRequest(kind, flags.model, ids));
  run.max_in_flight = flags.max_in_flight;
  run.deadline_seconds = flags.deadline_seconds;

  const bool live = IsLiveTerminal(STDERR_FILENO);
  LiveLines lines(STDERR_FILENO);
  std::vector<LoadSummary> summaries;
  bool interrupted = false;
  for (const double rate : flags.rates) {
    run.schedule = MakeSchedule(rate, flags.seconds,
                                flags.arrivals == "fixed" ? Arrivals::kFixed : Arrivals::kPoisson,
                                mix, flags.seed);
    run.on_tick = [&](const LoadProgress& progress, const std::vector<LoadSample>& samples) {
      if (live) Draw(lines, ProgressLine(progress, samples, rate, flags.seconds));
    };
    const LoadResult result = RunLoad(environment, run);
    for (LoadSummary& one : Summarise(result.samples, mix, rate, result.seconds)) {
      summaries.push_back(std::move(one));
    }
    interrupted = result.interrupted;
    if (interrupted) break;
  }
  lines.Clear();
  const int reported = Report(flags, mix, summaries);
  return interrupted ? kExitInterrupted : reported;
}

void AddKindFlags(CLI::App& command, LoadKind& kind) {
  const CLI::Range count(1, 1 << 24);
  command.add_option("--prompt-tokens", kind.prompt_tokens, "Tokens of each prompt")
      ->type_name("N")
      ->check(count)
      ->capture_default_str();
  command.add_option("--gen-length", kind.gen_length, "Canvas length in tokens")
      ->type_name("N")
      ->check(count)
      ->capture_default_str();
  command.add_option("--steps", kind.steps, "Denoising steps")
      ->type_name("N")
      ->check(count)
      ->capture_default_str();
}

}  // namespace

Command AddLoad(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "load", "Send requests at given rates, whatever the answers take, and report latencies");
  auto flags = std::make_shared<LoadFlags>();
  command->add_option("--rates,--rate", flags->rates, "Requests a second; several run in turn")
      ->type_name("X,...")
      ->delimiter(',')
      ->check(CLI::Range(1e-3, 1e5))
      ->capture_default_str();
  command->add_option("--seconds", flags->seconds, "How long each rate is sent")
      ->type_name("X")
      ->check(CLI::Range(0.01, 1e6))
      ->capture_default_str();
  command->add_option("--arrivals", flags->arrivals, "Independent of one another, or evenly spaced")
      ->check(CLI::IsMember({"poisson", "fixed"}))
      ->capture_default_str();
  command
      ->add_option("--mix", flags->mix,
                   "Kinds of requests, one JSON object a line: name, weight, prompt_tokens, "
                   "gen_length, steps, sparse, priority")
      ->type_name("FILE.jsonl");
  AddKindFlags(*command, flags->kind);
  command->add_option("--max-in-flight", flags->max_in_flight, "Most requests under way at a time")
      ->type_name("N")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  command->add_option("--deadline-seconds", flags->deadline_seconds, "Of each request")
      ->type_name("X")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--seed", flags->seed, "Of the arrivals")
      ->type_name("N")
      ->capture_default_str();
  command->add_option("--model", flags->model, "Name of the model (default: the served one)");
  command->add_option("--json", flags->json, "Write all numbers here")->type_name("FILE");
  command->add_option("--plot", flags->plot, "Draw latency against offered rate here")
      ->type_name("FILE.svg");
  command->footer(
      "Latencies count from the moment at which a request was meant to be sent, and refused\n"
      "requests are not tried again: a server that cannot keep up cannot hide it.");
  return {command, [flags](Environment& environment) { return RunLoadTest(*flags, environment); }};
}

}  // namespace sparsed::clients
