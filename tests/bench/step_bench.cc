#include "tests/bench/step_bench.h"

#include <array>
#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/status_macros.h"
#include "tests/bench/measure.h"
#include "tests/bench/progress.h"
#include "tests/bench/setup.h"
#include "tests/bench/table.h"

namespace sparsed::bench {
namespace {

using engine::StepKind;
using engine::StepTimes;
using Json = nlohmann::ordered_json;

constexpr int kDefaultRepeat = 10;

struct Part {
  const char* name;
  double StepTimes::*seconds;
};
constexpr Part kParts[] = {
    {"linear", &StepTimes::linear_seconds}, {"attention", &StepTimes::attention_seconds},
    {"head", &StepTimes::head_seconds},     {"norm", &StepTimes::norm_seconds},
    {"rope", &StepTimes::rope_seconds},     {"activation", &StepTimes::activation_seconds},
    {"embed", &StepTimes::embed_seconds},   {"sample", &StepTimes::sample_seconds},
    {"total", &StepTimes::total_seconds},
};

// Every sample of one kind of step.
struct KindSamples {
  const char* name;
  std::vector<StepTimes> times;
  double density = 1;    // of the attention
  double head_rows = 0;  // of one step, all sequences
};

// In the order in which a cycle runs them.
using Samples = std::array<KindSamples, 3>;

// One generation of each sequence up to its first sparse step.
absl::Status RunCycle(const Options& options, engine::Engine& engine, int32_t context, bool keep,
                      Samples& samples) {
  std::vector<engine::SequenceId> ids;
  double masked = 0;  // rows of the active decoding blocks, all sequences
  for (int i = 0; i < options.batch; ++i) {
    const engine::Request request =
        MakeBenchRequest(options, engine.model_info(), context, /*skip=*/0, i);
    SPARSED_ASSIGN_OR_RETURN(const engine::SequenceId id, engine.Start(request));
    ids.push_back(id);
    masked += request.sampling.block_length;
  }
  const int num_steps = options.sparse ? 3 : 1;
  for (int step = 0; step < num_steps; ++step) {
    SPARSED_ASSIGN_OR_RETURN(const std::vector<engine::SequenceStep> steps, engine.Step());
    KindSamples& kind = samples[static_cast<size_t>(steps.front().kind)];
    kind.head_rows = masked;
    if (steps.front().kind == StepKind::kSparse) kind.density = engine.Find(ids.front())->density;
    if (keep) kind.times.push_back(engine.last_step_times());
    for (const engine::SequenceStep& done : steps) {
      SPARSED_RETURN_IF_ERROR(done.error);
      masked -= static_cast<double>(done.commits.size());
    }
  }
  for (const engine::SequenceId id : ids) engine.Remove(id);
  return absl::OkStatus();
}

Summary SummarizePart(const KindSamples& kind, const Part& part) {
  std::vector<double> seconds;
  for (const StepTimes& times : kind.times) seconds.push_back(times.*part.seconds);
  return Summarize(std::move(seconds));
}

struct Work {
  double linear = 0;  // FLOP
  double attention = 0;
  double head = 0;
  double Total() const { return linear + attention + head; }
};

Work WorkOf(const Options& options, const engine::ModelInfo& model, int32_t context,
            const KindSamples& kind) {
  Work work;
  work.linear = LinearFlops(model, double{1} * options.batch * context);
  work.attention = options.batch * model.num_layers *
                   AttentionFlops(model.num_heads, model.head_dim, context, kind.density);
  work.head = HeadFlops(model, kind.head_rows);
  return work;
}

Json KindToJson(const KindSamples& kind, const Work& work, double peak_gflops) {
  Json parts;
  for (const Part& part : kParts) parts[part.name] = ToJson(SummarizePart(kind, part));
  const auto gflops = [&](double flops, const char* part) {
    return 1e-9 * flops / parts[part]["median"].get<double>();
  };
  const Json rates = {{"linear", gflops(work.linear, "linear")},
                      {"attention", gflops(work.attention, "attention")},
                      {"head", gflops(work.head, "head")},
                      {"total", gflops(work.Total(), "total")}};
  Json shares;
  for (const auto& [part, value] : rates.items()) shares[part] = value.get<double>() / peak_gflops;
  Json json = {{"kind", kind.name},
               {"density", kind.density},
               {"seconds", parts},
               {"gflops", rates},
               {"share_of_peak", shares}};
  return json;
}

// The median over the cycles of the ratio within a cycle.
double SparseOverFull(const Samples& samples) {
  std::vector<double> ratios;
  for (size_t i = 0; i < samples[2].times.size(); ++i) {
    ratios.push_back(samples[2].times[i].attention_seconds / samples[0].times[i].attention_seconds);
  }
  return Summarize(std::move(ratios)).median;
}

void Print(const Json& result) {
  std::vector<std::vector<std::string>> rows = {{"step, ms"}};
  for (const char* column : {"median", "p10", "p90"}) rows[0].push_back(column);
  for (const Part& part : kParts) {
    if (std::string(part.name) != "total") rows[0].push_back(part.name);
  }
  for (const char* column : {"GFLOP/s", "of peak", "linear of peak", "attention of peak"}) {
    rows[0].push_back(column);
  }
  for (const Json& kind : result["kinds"]) {
    const Json& seconds = kind["seconds"];
    std::vector<std::string> row = {kind["kind"].get<std::string>()};
    for (const char* quantile : {"median", "p10", "p90"}) {
      row.push_back(Milliseconds(seconds["total"][quantile].get<double>()));
    }
    for (const Part& part : kParts) {
      if (std::string(part.name) == "total") continue;
      row.push_back(Milliseconds(seconds[part.name]["median"].get<double>()));
    }
    row.push_back(Fixed(kind["gflops"]["total"].get<double>(), 1));
    for (const char* part : {"total", "linear", "attention"}) {
      row.push_back(Percent(kind["share_of_peak"][part].get<double>()));
    }
    rows.push_back(row);
  }
  PrintTable(rows);
  if (result.contains("sparse_over_full_attention")) {
    std::printf("sparse attention / full attention: %.3f at density %.3f\n",
                result["sparse_over_full_attention"].get<double>(),
                result["kinds"].back()["density"].get<double>());
  }
}

}  // namespace

absl::StatusOr<Json> StepBench(const Options& options, engine::Engine& engine, int32_t context,
                               double peak_gflops) {
  const int repeat = options.repeat > 0 ? options.repeat : kDefaultRepeat;
  Samples samples = {KindSamples{"full", {}}, KindSamples{"select", {}}, KindSamples{"sparse", {}}};
  {
    Progress progress(absl::StrCat("steps at ", context, " tokens"), repeat + 1);
    for (int i = 0; i <= repeat; ++i) {
      SPARSED_RETURN_IF_ERROR(RunCycle(options, engine, context, /*keep=*/i > 0, samples));
      progress.Advance();
    }
  }
  Json result = {{"context", context}, {"batch", options.batch}, {"kinds", Json::array()}};
  for (const KindSamples& kind : samples) {
    if (kind.times.empty()) continue;
    const Work work = WorkOf(options, engine.model_info(), context, kind);
    result["kinds"].push_back(KindToJson(kind, work, peak_gflops));
  }
  if (!samples[2].times.empty()) result["sparse_over_full_attention"] = SparseOverFull(samples);
  std::printf("\n%d tokens, batch %d\n", context, options.batch);
  Print(result);
  return result;
}

}  // namespace sparsed::bench
