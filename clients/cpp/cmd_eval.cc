#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "clients/cpp/commands.h"
#include "clients/cpp/errors.h"
#include "clients/cpp/eval_data.h"
#include "clients/cpp/eval_progress.h"
#include "clients/cpp/eval_results.h"
#include "clients/cpp/eval_run.h"
#include "clients/cpp/terminal.h"

namespace sparsed::clients {
namespace {

constexpr double kSaveEverySeconds = 2;

struct EvalFlags {
  std::string data;
  EvalSelection selection;
  EvalSettings settings;
  double select = 0.3;
  uint32_t concurrency = 8;
  std::string json;
};

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

int EvalFailed(const absl::Status& status, int exit_status) {
  std::fputs(absl::StrCat("error: ", status.message(), "\n").c_str(), stderr);
  return exit_status;
}

// A step's time grows with the tokens in it.
double Work(const EvalExample& example, const EvalSettings& settings) {
  const auto tokens = static_cast<double>(example.prompt_ids.size() + example.gen_length);
  return tokens * StepsFor(example.gen_length, settings.steps_per_token);
}

// The name of the model that answers, which results are kept under.
grpc::Status ResolveModel(Connection& connection, std::string* model) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
  v1::GetModelRequest request;
  request.set_name(*model);
  v1::GetModelResponse response;
  const grpc::Status status = connection.models().GetModel(&context, request, &response);
  if (status.ok()) *model = response.model().name();
  return status;
}

// Keeps the records, their file and the progress line while a run goes on.
class Session {
 public:
  Session(const EvalFlags& flags, const EvalData& data, EvalResults results)
      : flags_(flags), results_(std::move(results)), lines_(STDERR_FILENO) {
    for (size_t i = 0; i < data.examples.size(); ++i) {
      order_[data.examples[i].id] = i;
      work_[data.examples[i].id] = Work(data.examples[i], results_.settings);
    }
    earlier_seconds_ = results_.wall_seconds;
    started_ = saved_ = Now();
  }

  // What is left to do of what was chosen.
  std::vector<size_t> Todo(const EvalData& data, const std::vector<size_t>& chosen) {
    std::set<std::string> have;
    for (const EvalRecord& record : results_.records) have.insert(record.id);
    std::vector<size_t> todo;
    for (const size_t index : chosen) {
      const std::string& id = data.examples[index].id;
      if (have.count(id) > 0) continue;
      todo.push_back(index);
      progress_.work_todo += work_[id];
    }
    progress_.todo = todo.size();
    return todo;
  }

  void OnDone(EvalDone done) {
    progress_.done += 1;
    progress_.correct += done.record.correct ? 1 : 0;
    progress_.work_done += work_[done.record.id];
    progress_.generated_tokens += done.generated_tokens;
    results_.generated_tokens += done.generated_tokens;
    results_.records.push_back(std::move(done.record));
  }

  void OnTick() {
    const double now = Now();
    progress_.seconds = now - started_;
    if (IsLiveTerminal(STDERR_FILENO)) {
      const int columns = SizeOf(STDERR_FILENO).columns - 1;
      lines_.Draw({RenderEvalProgress(progress_, columns, WantsColor())});
    }
    // An error here comes again, and is told, at the end.
    if (now - saved_ >= kSaveEverySeconds && Save().ok()) saved_ = now;
  }

  absl::Status Finish() {
    progress_.seconds = Now() - started_;
    lines_.Clear();
    return Save();
  }

  void PrintReport() const {
    std::fputs(RenderEvalTable(Summarise(results_.records)).c_str(), stdout);
    std::printf("\n%zu prompts in %s · %lu tokens · %.1f tok/s\n", progress_.done,
                RenderSeconds(progress_.seconds).c_str(),
                static_cast<unsigned long>(progress_.generated_tokens),
                progress_.generated_tokens / std::max(1e-9, progress_.seconds));
    if (progress_.done < results_.records.size()) {
      std::printf("%zu more from earlier runs, %s in all\n",
                  results_.records.size() - progress_.done,
                  RenderSeconds(results_.wall_seconds).c_str());
    }
  }

 private:
  absl::Status Save() {
    results_.wall_seconds = earlier_seconds_ + Now() - started_;
    std::sort(
        results_.records.begin(), results_.records.end(),
        [this](const EvalRecord& a, const EvalRecord& b) { return order_[a.id] < order_[b.id]; });
    return flags_.json.empty() ? absl::OkStatus() : SaveResults(flags_.json, results_);
  }

  const EvalFlags& flags_;
  EvalResults results_;
  LiveLines lines_;
  std::map<std::string, size_t> order_;
  std::map<std::string, double> work_;
  EvalProgress progress_;
  double earlier_seconds_ = 0;
  double started_ = 0;
  double saved_ = 0;
};

int RunEvalCommand(EvalFlags flags, Environment& environment) {
  const auto data = LoadEvalData(flags.data);
  if (!data.ok()) return EvalFailed(data.status(), kExitUsage);
  EvalSettings& settings = flags.settings;
  settings.data_crc32 = data->crc32;
  settings.select = settings.sparse == "sparsed" ? flags.select : 0;
  const grpc::Status model = ResolveModel(environment.connection, &settings.model);
  if (!model.ok()) {
    std::fputs(RenderError(model).c_str(), stderr);
    return kExitFailed;
  }
  auto results = ResumeResults(flags.json, settings);
  if (!results.ok()) return EvalFailed(results.status(), kExitUsage);
  const std::vector<size_t> chosen = Select(data->examples, flags.selection);
  if (chosen.empty()) {
    return EvalFailed(
        absl::NotFoundError("no example of " + flags.data + " fits --tasks and --lengths"),
        kExitUsage);
  }

  Session session(flags, *data, *std::move(results));
  EvalRun run;
  run.examples = &data->examples;
  run.todo = session.Todo(*data, chosen);
  run.settings = settings;
  run.concurrency = flags.concurrency;
  run.on_done = [&session](EvalDone done) { session.OnDone(std::move(done)); };
  run.on_tick = [&session] { session.OnTick(); };
  const grpc::Status status = RunEval(environment, run);
  const absl::Status saved = session.Finish();
  if (!saved.ok()) return EvalFailed(saved, kExitFailed);
  session.PrintReport();
  if (status.error_code() == grpc::StatusCode::CANCELLED &&
      status.error_message() == "interrupted") {
    std::fputs(
        flags.json.empty() ? "cancelled\n" : "cancelled; the same command goes on from here\n",
        stderr);
    return kExitInterrupted;
  }
  if (status.ok()) return kExitOk;
  std::fputs(RenderError(status).c_str(), stderr);
  return kExitFailed;
}

}  // namespace

Command AddEval(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("eval", "Run an evaluation set through the server and score the answers");
  auto flags = std::make_shared<EvalFlags>();
  command->add_option("--data", flags->data, "The evaluation set, JSON lines, may be gzipped")
      ->type_name("FILE.jsonl[.gz]")
      ->required();
  command->add_option("--limit", flags->selection.limit, "Only the first N of each task and length")
      ->type_name("N");
  command->add_option("--lengths", flags->selection.lengths, "Only these lengths")
      ->type_name("N,...")
      ->delimiter(',');
  command->add_option("--tasks", flags->selection.tasks, "Only these tasks")
      ->type_name("NAME,...")
      ->delimiter(',');
  command->add_option("--model", flags->settings.model, "Name of the model (default: the served)");
  command->add_option("--sparse", flags->settings.sparse, "Sparse attention")
      ->check(CLI::IsMember({"off", "sparsed"}))
      ->capture_default_str();
  command->add_option("--select", flags->select, "Share of key blocks kept, with --sparse sparsed")
      ->type_name("R")
      ->capture_default_str();
  flags->settings.steps_per_token = 0.5;
  command
      ->add_option("--steps-per-token", flags->settings.steps_per_token,
                   "Denoising steps for each canvas token")
      ->type_name("X")
      ->check(CLI::Range(1e-3, 1.0))
      ->capture_default_str();
  flags->settings.block_length = 32;
  command->add_option("--block-length", flags->settings.block_length, "Decoding block in tokens")
      ->type_name("N")
      ->capture_default_str();
  flags->settings.end_ids = {4, 1};
  command->add_option("--end-ids", flags->settings.end_ids, "Tokens that end an answer")
      ->type_name("ID,...")
      ->delimiter(',')
      ->capture_default_str();
  command->add_option("--concurrency", flags->concurrency, "Requests in flight")
      ->type_name("K")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  command
      ->add_option("--json", flags->json,
                   "Write records and summary here, also while running; an existing file of the "
                   "same settings is completed")
      ->type_name("FILE");
  return {command,
          [flags](Environment& environment) { return RunEvalCommand(*flags, environment); }};
}

}  // namespace sparsed::clients
