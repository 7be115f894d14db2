// sparsed-bench: measures the engine without a server. See README.md.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "engine/status_macros.h"
#include "tests/bench/attention_bench.h"
#include "tests/bench/generate_bench.h"
#include "tests/bench/machine.h"
#include "tests/bench/measure.h"
#include "tests/bench/options.h"
#include "tests/bench/setup.h"
#include "tests/bench/step_bench.h"

namespace sparsed::bench {
namespace {

using Json = nlohmann::ordered_json;

void AddOptions(CLI::App& command, Options& options, std::string& sparse) {
  command.add_option("--device", options.device, "cpu, cuda, cuda:N or auto")
      ->capture_default_str();
  command
      .add_option("--model", options.model,
                  "checkpoint folder, or synthetic:llada-8b, dream-7b, llada-moe, nano, tiny")
      ->required();
  command.add_option("--context", options.contexts, "tokens, prompt and canvas; several allowed")
      ->check(CLI::Range(2, 1 << 20));
  command.add_option("--sparse", sparse, "off or sparsed")
      ->check(CLI::IsMember({"off", "sparsed"}))
      ->capture_default_str();
  command
      .add_option("--select", options.sparse.select, "share of key blocks kept; default by length")
      ->check(CLI::Range(1e-6, 1.0));
  command
      .add_option("--block-size", options.sparse.block_size, "attention block; default by length")
      ->check(CLI::IsMember({32, 64, 128}));
  command.add_option("--steps", options.steps, "denoising steps; default half the canvas")
      ->check(CLI::PositiveNumber);
  command.add_option("--gen-length", options.gen_length, "canvas; default 128 or less")
      ->check(CLI::PositiveNumber);
  command.add_option("--block-length", options.block_length, "decoding block; default 32")
      ->check(CLI::PositiveNumber);
  command.add_option("--batch", options.batch, "sequences at once")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  command.add_option("--threads", options.threads, "default all cores")->check(CLI::Range(1, 1024));
  command.add_option("--weights", options.weights, "full, or int8 on the CPU")
      ->transform(CLI::Transformer(std::map<std::string, kernels::WeightType>{
          {"full", kernels::WeightType::kFull}, {"int8", kernels::WeightType::kInt8}}));
  command.add_option("--repeat", options.repeat, "measurements; default 10, of generate 1")
      ->check(CLI::PositiveNumber);
  command.add_option("--seed", options.seed, "of random weights and prompts")
      ->capture_default_str();
  command.add_option("--json", options.json_path, "write everything to this file");
}

// What only whole generations have.
void AddGenerateOptions(CLI::App& command, Options& options) {
  command.add_option("--prompt-ids", options.prompt_ids, "the prompt; default random ids")
      ->delimiter(',');
  engine::SparseParams& sparse = options.sparse;
  command.add_option("--skip", sparse.skip, "share of the steps in full attention")
      ->capture_default_str();
  command.add_option("--refresh-every", sparse.refresh_every, "select anew after so many steps");
  command.add_option("--refresh-until", sparse.refresh_until, "within this share of the steps");
  command.add_option("--recall-every", sparse.recall_every, "estimate the recall so often");
  command.add_option("--switch-overlap", sparse.switch_overlap,
                     "sparse attention begins once patterns overlap by this");
  command.add_option("--budgets", sparse.budgets, "of the heads: uniform or by_mass")
      ->transform(CLI::Transformer(std::map<std::string, engine::HeadBudgets>{
          {"uniform", engine::HeadBudgets::kUniform}, {"by_mass", engine::HeadBudgets::kByMass}}));
}

// Where a prompt is given, the context follows from it.
absl::Status SettleContexts(Options& options) {
  if (options.prompt_ids.empty()) {
    if (options.contexts.empty()) return absl::InvalidArgumentError("--context is required");
    return absl::OkStatus();
  }
  if (!options.contexts.empty() || options.gen_length == 0) {
    return absl::InvalidArgumentError("--prompt-ids needs --gen-length and no --context");
  }
  options.contexts = {static_cast<int32_t>(options.prompt_ids.size()) + options.gen_length};
  return absl::OkStatus();
}

// What can be refused before anything is loaded or measured.
absl::Status CheckRequests(const std::string& command, const Options& options) {
  SPARSED_ASSIGN_OR_RETURN(const engine::ModelInfo model, ReadModelInfo(options));
  if (command == "attention") return absl::OkStatus();  // of any length
  for (const int32_t context : options.contexts) {
    const auto violations =
        engine::CheckRequest(MakeBenchRequest(options, model, context, 0), model);
    if (violations.empty()) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(violations[0].field, ": ", violations[0].description));
  }
  return absl::OkStatus();
}

absl::Status WriteJson(const std::string& path, const Json& json) {
  std::ofstream file(path);
  file << json.dump(2) << "\n";
  file.close();
  if (file.good()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("--json: cannot write ", path));
}

Json ModelJson(const Options& options, const engine::ModelInfo& model) {
  return {{"name", options.model},          {"layers", model.num_layers},
          {"hidden", model.hidden_size},    {"heads", model.num_heads},
          {"kv_heads", model.num_kv_heads}, {"ffn", model.ffn_size},
          {"vocab", model.vocab_size},      {"parameters", model.parameters}};
}

absl::StatusOr<Json> RunContexts(const std::string& command, const Options& options,
                                 kernels::Backend& backend, const MachineRates& rates,
                                 Json& report) {
  Json results = Json::array();
  if (command == "attention") {
    SPARSED_ASSIGN_OR_RETURN(const engine::ModelInfo model, ReadModelInfo(options));
    report["model"] = ModelJson(options, model);
    for (const int32_t context : options.contexts) {
      SPARSED_ASSIGN_OR_RETURN(
          Json result, AttentionBench(options, backend, model, context, rates.product_gflops));
      results.push_back(std::move(result));
    }
    return results;
  }
  SPARSED_ASSIGN_OR_RETURN(const std::unique_ptr<engine::Engine> engine, MakeEngine(options));
  report["model"] = ModelJson(options, engine->model_info());
  for (const int32_t context : options.contexts) {
    auto result = command == "step" ? StepBench(options, *engine, context, rates)
                                    : GenerateBench(options, *engine, context);
    if (!result.ok()) return result.status();
    results.push_back(std::move(*result));
  }
  return results;
}

absl::Status RunCommand(const std::string& command, Options options) {
  SPARSED_RETURN_IF_ERROR(SettleContexts(options));
  SPARSED_RETURN_IF_ERROR(CheckRequests(command, options));
  const Machine machine = DescribeMachine();
  SPARSED_ASSIGN_OR_RETURN(const std::unique_ptr<kernels::Backend> backend, MakeBackend(options));
  SPARSED_ASSIGN_OR_RETURN(const MachineRates before, MeasureRates(*backend));
  std::printf("%s %s, %s\n%s (%s)\n", machine.version.c_str(), machine.commit.c_str(),
              machine.date.c_str(), machine.cpu.c_str(), backend->Info().description.c_str());
  std::printf("load average before: %.2f on %d cores\n", machine.load, machine.cores);
  std::printf("products: %.1f GFLOP/s\n", before.product_gflops);
  if (before.copy_gbps > 0) std::printf("copies: %.1f GB/s\n", before.copy_gbps);
  std::fflush(stdout);

  Json report = {{"benchmark", command}, {"machine", ToJson(machine)}};
  report["machine"]["backend"] = backend->Info().description;
  report["machine"]["threads"] = options.threads;
  report["machine"]["weights"] = backend->Info().weights;
  SPARSED_ASSIGN_OR_RETURN(Json results, RunContexts(command, options, *backend, before, report));
  SPARSED_ASSIGN_OR_RETURN(const MachineRates after, MeasureRates(*backend));
  std::printf("\nproducts afterwards: %.1f GFLOP/s\n", after.product_gflops);
  report["peak_gflops"] = {{"before", before.product_gflops}, {"after", after.product_gflops}};
  if (before.copy_gbps > 0) {
    report["copy_gbps"] = {{"before", before.copy_gbps}, {"after", after.copy_gbps}};
  }
  report["peak_resident_bytes"] = PeakResidentBytes();
  report["results"] = std::move(results);
  return options.json_path.empty() ? absl::OkStatus() : WriteJson(options.json_path, report);
}

int Main(int argc, char** argv) {
  CLI::App app("Measures sparsed's engine: one step, the attention alone, or whole generations.");
  app.require_subcommand(1);
  Options options;
  std::string sparse = "sparsed";
  CLI::App* step = app.add_subcommand("step", "one denoising step by kind and part");
  CLI::App* attention = app.add_subcommand("attention", "the attention of one layer alone");
  CLI::App* generate = app.add_subcommand("generate", "whole generations");
  for (CLI::App* command : {step, attention, generate}) AddOptions(*command, options, sparse);
  attention->add_option("--density", options.densities, "of the random patterns")
      ->check(CLI::Range(1e-6, 1.0))
      ->capture_default_str();
  AddGenerateOptions(*generate, options);
  CLI11_PARSE(app, argc, argv);
  options.sparse.mode =
      sparse == "sparsed" ? engine::SparseMode::kSparseD : engine::SparseMode::kOff;
  const absl::Status status = RunCommand(app.get_subcommands().front()->get_name(), options);
  if (status.ok()) return 0;
  std::fprintf(stderr, "sparsed-bench: %s\n", std::string(status.message()).c_str());
  return 1;
}

}  // namespace
}  // namespace sparsed::bench

int main(int argc, char** argv) { return sparsed::bench::Main(argc, argv); }
