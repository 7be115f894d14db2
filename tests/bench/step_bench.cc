#include "tests/bench/step_bench.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <functional>
#include <numeric>
#include <string>
#include <utility>
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
using engine::StepPart;
using engine::StepTimes;
using Json = nlohmann::ordered_json;

constexpr int kStepRepeat = 10;

// The parts in the order of the table.
constexpr StepPart kParts[] = {StepPart::kLinear, StepPart::kAttention, StepPart::kHead,
                               StepPart::kNorm,   StepPart::kRope,      StepPart::kActivation,
                               StepPart::kEmbed,  StepPart::kSample,    StepPart::kCopy};

const char* NameOf(StepPart part) { return engine::kStepPartNames[static_cast<size_t>(part)]; }

double PartsOf(const StepTimes& times) {
  return std::accumulate(times.part_seconds.begin(), times.part_seconds.end(), 0.0);
}

// Every sample of one kind of step.
struct KindSamples {
  const char* name;
  std::vector<StepTimes> times;
  double density = 1;  // of the attention

  Summary Of(const std::function<double(const StepTimes&)>& value) const {
    std::vector<double> values;
    for (const StepTimes& one : times) values.push_back(value(one));
    return Summarize(std::move(values));
  }
  StepRows rows(double tokens) const {
    return {tokens, static_cast<double>(times.back().query_rows),
            static_cast<double>(times.back().head_rows)};
  }
};

// In the order in which a cycle runs them.
using Samples = std::array<KindSamples, 3>;

// One generation of each sequence up to its first sparse step.
absl::Status RunCycle(const Options& options, engine::Engine& engine, int32_t context, bool keep,
                      Samples& samples, uint64_t& device_bytes) {
  std::vector<engine::SequenceId> ids;
  for (int i = 0; i < options.batch; ++i) {
    engine::Request request = MakeBenchRequest(options, engine.model_info(), context, i);
    request.sparse.skip = 0;
    SPARSED_ASSIGN_OR_RETURN(const engine::SequenceId id, engine.Start(request));
    ids.push_back(id);
  }
  const int num_steps = options.sparse.mode == engine::SparseMode::kOff ? 1 : 3;
  for (int step = 0; step < num_steps; ++step) {
    SPARSED_ASSIGN_OR_RETURN(const std::vector<engine::SequenceStep> steps, engine.Step());
    KindSamples& kind = samples[static_cast<size_t>(steps.front().kind)];
    if (steps.front().kind == StepKind::kSparse) kind.density = engine.Find(ids.front())->density;
    if (keep) kind.times.push_back(engine.last_step_times());
    for (const engine::SequenceStep& done : steps) {
      SPARSED_RETURN_IF_ERROR(done.error);
    }
  }
  device_bytes = std::max(device_bytes, engine.backend_info().allocated_bytes);
  for (const engine::SequenceId id : ids) engine.Remove(id);
  return absl::OkStatus();
}

struct Work {
  double linear = 0;  // FLOP
  double attention = 0;
  double head = 0;
  double row_bytes = 0;
  double Total() const { return linear + attention + head; }
};

Work WorkOf(const Options& options, const engine::ModelInfo& model, int32_t context,
            const KindSamples& kind) {
  constexpr double kBF16Bytes = 2;
  const StepRows rows = kind.rows(double{1} * options.batch * context);
  const double layer =
      options.batch * AttentionFlops(model.num_heads, model.head_dim, context, kind.density);
  Work work;
  work.linear = LinearFlops(model, rows);
  work.attention = layer * (model.num_layers - 1 + rows.query_rows / rows.tokens);
  work.head = HeadFlops(model, rows.head_rows);
  work.row_bytes = RowBytes(model, rows, kBF16Bytes);
  return work;
}

// Everything but attention beside its bound: the products at the product rate, the bytes of the
// operations on rows at the copy rate.
Json BoundToJson(const KindSamples& kind, const Work& work, const MachineRates& rates) {
  const double products = 1e-9 * (work.linear + work.head) / rates.product_gflops;
  const double bytes = 1e-9 * work.row_bytes / rates.copy_gbps;
  const Summary measured = kind.Of(
      [](const StepTimes& times) { return PartsOf(times) - times.seconds(StepPart::kAttention); });
  return {{"seconds", measured.median},
          {"bound_seconds", products + bytes},
          {"bound_products_seconds", products},
          {"bound_bytes_seconds", bytes},
          {"ratio", measured.median / (products + bytes)}};
}

Json KindToJson(const KindSamples& kind, const Work& work, const MachineRates& rates) {
  Json parts;
  for (const StepPart part : kParts) {
    parts[NameOf(part)] =
        ToJson(kind.Of([part](const StepTimes& times) { return times.seconds(part); }));
  }
  parts["total"] = ToJson(kind.Of([](const StepTimes& times) { return times.total_seconds; }));
  const auto gflops = [&](double flops, const char* part) {
    return 1e-9 * flops / parts[part]["median"].get<double>();
  };
  const Json part_rates = {{"linear", gflops(work.linear, "linear")},
                           {"attention", gflops(work.attention, "attention")},
                           {"head", gflops(work.head, "head")},
                           {"total", gflops(work.Total(), "total")}};
  Json shares;
  for (const auto& [part, value] : part_rates.items()) {
    shares[part] = value.get<double>() / rates.product_gflops;
  }
  Json json = {{"kind", kind.name},
               {"density", kind.density},
               {"seconds", parts},
               {"gflops", part_rates},
               {"share_of_peak", shares},
               {"host_share", kind.Of([](const StepTimes& times) {
                                    return 1 - PartsOf(times) / times.total_seconds;
                                  })
                                  .median}};
  if (rates.copy_gbps > 0) json["all_but_attention"] = BoundToJson(kind, work, rates);
  return json;
}

// The median over the cycles of the ratio within a cycle.
double OverFull(const Samples& samples, size_t kind,
                const std::function<double(const StepTimes&)>& value) {
  std::vector<double> ratios;
  for (size_t i = 0; i < samples[kind].times.size(); ++i) {
    ratios.push_back(value(samples[kind].times[i]) / value(samples[0].times[i]));
  }
  return Summarize(std::move(ratios)).median;
}

void PrintBounds(const Json& result) {
  for (const Json& kind : result["kinds"]) {
    if (!kind.contains("all_but_attention")) return;
    const Json& bound = kind["all_but_attention"];
    std::printf("%s: all but attention %s ms, its bound %s ms, ratio %.3f; host share %.2f%%\n",
                kind["kind"].get<std::string>().c_str(),
                Milliseconds(bound["seconds"].get<double>()).c_str(),
                Milliseconds(bound["bound_seconds"].get<double>()).c_str(),
                bound["ratio"].get<double>(), 100 * kind["host_share"].get<double>());
  }
}

void Print(const Json& result) {
  std::vector<std::vector<std::string>> rows = {{"step, ms"}};
  for (const char* column : {"median", "p10", "p90"}) rows[0].push_back(column);
  for (const StepPart part : kParts) rows[0].push_back(NameOf(part));
  for (const char* column : {"GFLOP/s", "of peak", "linear of peak", "attention of peak"}) {
    rows[0].push_back(column);
  }
  for (const Json& kind : result["kinds"]) {
    const Json& seconds = kind["seconds"];
    std::vector<std::string> row = {kind["kind"].get<std::string>()};
    for (const char* quantile : {"median", "p10", "p90"}) {
      row.push_back(Milliseconds(seconds["total"][quantile].get<double>()));
    }
    for (const StepPart part : kParts) {
      row.push_back(Milliseconds(seconds[NameOf(part)]["median"].get<double>()));
    }
    row.push_back(Fixed(kind["gflops"]["total"].get<double>(), 1));
    for (const char* part : {"total", "linear", "attention"}) {
      row.push_back(Percent(kind["share_of_peak"][part].get<double>()));
    }
    rows.push_back(row);
  }
  PrintTable(rows);
  PrintBounds(result);
  if (result.contains("sparse_over_full_attention")) {
    std::printf(
        "sparse attention / full attention: %.3f at density %.3f; select step / full: %.3f\n",
        result["sparse_over_full_attention"].get<double>(),
        result["kinds"].back()["density"].get<double>(), result["select_over_full"].get<double>());
  }
  std::printf("memory of the backend: %.2f GiB\n",
              result["device_bytes"].get<double>() / (1 << 30));
}

}  // namespace

absl::StatusOr<Json> StepBench(const Options& options, engine::Engine& engine, int32_t context,
                               const MachineRates& rates) {
  const int repeat = options.repeat > 0 ? options.repeat : kStepRepeat;
  Samples samples = {KindSamples{"full", {}}, KindSamples{"select", {}}, KindSamples{"sparse", {}}};
  uint64_t device_bytes = 0;
  {
    Progress progress(absl::StrCat("steps at ", context, " tokens"), repeat + 1);
    for (int i = 0; i <= repeat; ++i) {
      SPARSED_RETURN_IF_ERROR(
          RunCycle(options, engine, context, /*keep=*/i > 0, samples, device_bytes));
      progress.Advance();
    }
  }
  Json result = {{"context", context}, {"batch", options.batch}, {"kinds", Json::array()}};
  for (const KindSamples& kind : samples) {
    if (kind.times.empty()) continue;
    const Work work = WorkOf(options, engine.model_info(), context, kind);
    result["kinds"].push_back(KindToJson(kind, work, rates));
  }
  if (!samples[2].times.empty()) {
    result["sparse_over_full_attention"] = OverFull(
        samples, 2, [](const StepTimes& times) { return times.seconds(StepPart::kAttention); });
    result["select_over_full"] =
        OverFull(samples, 1, [](const StepTimes& times) { return times.total_seconds; });
  }
  result["device_bytes"] = device_bytes;
  std::printf("\n%d tokens, batch %d\n", context, options.batch);
  Print(result);
  return result;
}

}  // namespace sparsed::bench
