// batcher-bench: latency against load, in simulation of the server's batcher, with and without a
// request of 64k tokens in the mix, for the old rule (all step together) and the present one.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "clients/cpp/line_chart.h"
#include "tests/testing/batcher_simulator.h"

namespace {

using sparsed::testing::SimOptions;
using sparsed::testing::SimReport;
using sparsed::testing::SimRequest;

// Assumed, not measured: a model of LLaDA-8B's size on one large GPU, in round numbers. A step
// reads 16 GB of weights, a row is 16 GFLOP of products, a pair of 32 layers 0.5 MFLOP of
// attention.
constexpr double kBase = 0.006;
constexpr double kPerRow = 25e-6;
constexpr double kPerPair = 0.9e-9;

constexpr int32_t kShortTokens = 512;
constexpr int32_t kShortSteps = 32;
constexpr int32_t kLongTokens = 65536;
constexpr int32_t kLongSteps = 64;

struct Case {
  std::string name;
  double cost_share;
  bool with_long;
};

struct Flags {
  std::vector<double> rates = {0.1, 0.2, 0.3, 0.5, 1, 1.5, 2};
  double seconds = 10000;
  std::string json;
  std::string plot;
};

struct Point {
  double rate = 0;
  double p50 = 0;
  double p99 = 0;
  double long_seconds = 0;  // that one of 64k runs, at the median
  double sequences_per_step = 0;
};

// Short requests come at random; of long ones there is always one.
std::vector<SimRequest> Load(double rate, double seconds, bool with_long) {
  std::mt19937_64 random(7);
  std::exponential_distribution<double> gap(rate);
  std::vector<SimRequest> load;
  for (double now = gap(random); now < seconds; now += gap(random)) {
    load.push_back({now, kShortTokens, kShortSteps, kShortSteps});
  }
  if (with_long) {
    // More than can be done in the time, one at a time: the limits hold the others back.
    for (double now = 0; now < seconds; now += 150) {
      load.push_back({now, kLongTokens, kLongSteps, kLongSteps / 5 + 1, 0.3});
    }
    std::stable_sort(load.begin(), load.end(), [](const SimRequest& a, const SimRequest& b) {
      return a.arrival < b.arrival;
    });
  }
  return load;
}

double Percentile(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[std::min(values.size() - 1, static_cast<size_t>(share * values.size()))];
}

Point Measure(const Case& one, double rate, double seconds) {
  SimOptions options;
  options.limits = {64, 65536, 1 << 30, one.cost_share < 1 ? 131072 : 65536 + 16384};
  if (one.cost_share >= 1) options.limits.max_batch_tokens = options.limits.max_running_tokens;
  options.cost_share = one.cost_share;
  options.base = kBase;
  options.per_row = kPerRow;
  options.per_pair = kPerPair;
  options.noise = 0.05;
  const std::vector<SimRequest> load = Load(rate, seconds, one.with_long);
  const SimReport report = Simulate(load, options);
  std::vector<double> short_seconds;
  std::vector<double> long_seconds;
  for (size_t i = 0; i < load.size(); ++i) {
    const sparsed::testing::SimOutcome& outcome = report.outcomes[i];
    // At the beginning and towards the end the load is not yet, or no longer, what is meant.
    const bool in_time = load[i].arrival > 0.05 * seconds && load[i].arrival < 0.95 * seconds;
    if (load[i].tokens == kShortTokens) {
      if (in_time) short_seconds.push_back(outcome.ended - load[i].arrival);
    } else if (outcome.ended < seconds) {
      long_seconds.push_back(outcome.ended - outcome.started);
    }
  }
  return {rate, Percentile(short_seconds, 0.5), Percentile(short_seconds, 0.99),
          Percentile(long_seconds, 0.5),
          static_cast<double>(report.sequence_steps) / report.engine_steps};
}

int Run(const Flags& flags) {
  const std::vector<Case> cases = {{"all step together", 1, false},
                                   {"shares 0.25", 0.25, false},
                                   {"all step together, one of 64k", 1, true},
                                   {"shares 0.25, one of 64k", 0.25, true}};
  nlohmann::json json = {{"base_seconds", kBase},        {"seconds_per_row", kPerRow},
                         {"seconds_per_pair", kPerPair}, {"short_tokens", kShortTokens},
                         {"short_steps", kShortSteps},   {"long_tokens", kLongTokens},
                         {"long_steps", kLongSteps},     {"simulated_seconds", flags.seconds}};
  sparsed::clients::Chart chart;
  chart.title = "Simulated: requests of 512 tokens, with and without one of 64k beside them";
  chart.x_label = "offered requests of 512 tokens per second";
  chart.y_label = "their latency, seconds";
  chart.log_y = true;
  std::printf("%-32s %8s %8s %8s %10s %8s\n", "", "rate/s", "p50 s", "p99 s", "batch", "64k s");
  for (const Case& one : cases) {
    sparsed::clients::ChartSeries p50 = {one.name + ", p50", {}};
    sparsed::clients::ChartSeries p99 = {one.name + ", p99", {}};
    for (const double rate : flags.rates) {
      const Point point = Measure(one, rate, flags.seconds);
      std::printf("%-32s %8.2f %8.3f %8.3f %10.2f %8.1f\n", one.name.c_str(), rate, point.p50,
                  point.p99, point.sequences_per_step, point.long_seconds);
      json["points"].push_back({{"case", one.name},
                                {"rate_per_second", rate},
                                {"p50_seconds", point.p50},
                                {"p99_seconds", point.p99},
                                {"long_run_p50_seconds", point.long_seconds},
                                {"sequences_per_step", point.sequences_per_step}});
      p50.points.emplace_back(rate, point.p50);
      p99.points.emplace_back(rate, point.p99);
    }
    if (one.with_long || one.cost_share < 1) {
      chart.series.push_back(p50);
      chart.series.push_back(p99);
    }
  }
  if (!flags.json.empty()) std::ofstream(flags.json) << json.dump(1) << "\n";
  if (!flags.plot.empty()) std::ofstream(flags.plot) << sparsed::clients::RenderSvg(chart);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Latency against load, in simulation of the server's batcher", "batcher-bench");
  Flags flags;
  app.add_option("--rates", flags.rates, "Requests per second")->delimiter(',');
  app.add_option("--seconds", flags.seconds, "Simulated time of each rate");
  app.add_option("--json", flags.json, "Write all numbers here");
  app.add_option("--plot", flags.plot, "Write a chart (SVG) here");
  CLI11_PARSE(app, argc, argv);
  return Run(flags);
}
