#include "clients/cpp/load_stats.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "clients/cpp/table.h"

namespace sparsed::clients {
namespace {

LoadPercentiles PercentilesOf(const std::vector<double>& values) {
  LoadPercentiles result;
  result.p50 = Percentile(values, 0.50);
  result.p90 = Percentile(values, 0.90);
  result.p95 = Percentile(values, 0.95);
  result.p99 = Percentile(values, 0.99);
  result.most = Percentile(values, 1);
  return result;
}

LoadSummary SummariseSome(const std::vector<const LoadSample*>& samples, const std::string& kind,
                          double offered_rate, double seconds) {
  LoadSummary summary;
  summary.kind = kind;
  summary.offered_rate = offered_rate;
  summary.requests = samples.size();
  std::vector<double> total;
  std::vector<double> first_block;
  std::vector<double> queue;
  double tokens = 0;
  for (const LoadSample* sample : samples) {
    summary.latest_sent = std::max(summary.latest_sent, sample->sent);
    if (sample->code != "OK") {
      ++summary.errors[sample->code];
      continue;
    }
    total.push_back(sample->total);
    queue.push_back(sample->queue);
    if (sample->first_block >= 0) first_block.push_back(sample->first_block);
    tokens += sample->generated_tokens;
  }
  summary.total = PercentilesOf(total);
  summary.first_block = PercentilesOf(first_block);
  summary.queue = PercentilesOf(queue);
  if (seconds > 0) {
    summary.throughput = static_cast<double>(total.size()) / seconds;
    summary.tokens_per_second = tokens / seconds;
  }
  return summary;
}

nlohmann::json ToJson(const LoadPercentiles& p) {
  return {{"p50", p.p50}, {"p90", p.p90}, {"p95", p.p95}, {"p99", p.p99}, {"max", p.most}};
}

std::string ErrorsText(const std::map<std::string, size_t>& errors) {
  return errors.empty() ? "-" : absl::StrJoin(errors, ", ", absl::PairFormatter(" "));
}

}  // namespace

double Percentile(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  // A little less, since a product such as 0.95 * 20 may come out above the whole number it means.
  const double rank = std::ceil(share * static_cast<double>(values.size()) - 1e-9);
  const auto at = static_cast<size_t>(std::clamp(rank, 1.0, static_cast<double>(values.size())));
  std::nth_element(values.begin(), values.begin() + (at - 1), values.end());
  return values[at - 1];
}

std::vector<LoadSummary> Summarise(const std::vector<LoadSample>& samples,
                                   const std::vector<LoadKind>& mix, double offered_rate,
                                   double seconds) {
  std::vector<const LoadSample*> all;
  for (const LoadSample& sample : samples) all.push_back(&sample);
  std::vector<LoadSummary> summaries = {SummariseSome(all, "", offered_rate, seconds)};
  double weights = 0;
  for (const LoadKind& kind : mix) weights += kind.weight;
  for (size_t kind = 0; mix.size() > 1 && kind < mix.size(); ++kind) {
    std::vector<const LoadSample*> some;
    std::copy_if(all.begin(), all.end(), std::back_inserter(some),
                 [kind](const LoadSample* sample) { return sample->kind == kind; });
    summaries.push_back(
        SummariseSome(some, mix[kind].name, offered_rate * mix[kind].weight / weights, seconds));
  }
  return summaries;
}

std::string RenderLoadTable(const std::vector<LoadSummary>& summaries) {
  std::vector<std::vector<std::string>> rows = {{"kind", "rate/s", "requests", "done/s", "tok/s",
                                                 "p50 s", "p90 s", "p95 s", "p99 s", "first p50 s",
                                                 "errors"}};
  const auto seconds = [](double value) { return absl::StrFormat("%.3f", value); };
  for (const LoadSummary& one : summaries) {
    rows.push_back({one.kind.empty() ? "all" : one.kind, absl::StrFormat("%.3g", one.offered_rate),
                    absl::StrCat(one.requests), absl::StrFormat("%.2f", one.throughput),
                    absl::StrFormat("%.1f", one.tokens_per_second), seconds(one.total.p50),
                    seconds(one.total.p90), seconds(one.total.p95), seconds(one.total.p99),
                    seconds(one.first_block.p50), ErrorsText(one.errors)});
  }
  return RenderTable(rows, {1, 2, 3, 4, 5, 6, 7, 8, 9});
}

std::string LoadJson(const std::vector<LoadSummary>& summaries, const std::string& settings) {
  nlohmann::json json;
  json["settings"] = nlohmann::json::parse(settings, nullptr, false);
  json["rates"] = nlohmann::json::array();
  for (const LoadSummary& one : summaries) {
    json["rates"].push_back({{"kind", one.kind.empty() ? "all" : one.kind},
                             {"offered_per_second", one.offered_rate},
                             {"requests", one.requests},
                             {"errors", one.errors},
                             {"done_per_second", one.throughput},
                             {"tokens_per_second", one.tokens_per_second},
                             {"total_seconds", ToJson(one.total)},
                             {"first_block_seconds", ToJson(one.first_block)},
                             {"queue_seconds", ToJson(one.queue)},
                             {"latest_sent_seconds", one.latest_sent}});
  }
  return json.dump(2) + "\n";
}

Chart LoadChart(const std::vector<LoadSummary>& summaries) {
  const bool kinds = std::any_of(summaries.begin(), summaries.end(),
                                 [](const LoadSummary& one) { return !one.kind.empty(); });
  std::vector<std::string> order;
  std::map<std::string, ChartSeries> series;
  // A kind is shown against the rate of all kinds.
  double rate = 0;
  const auto add = [&](const std::string& name, double latency) {
    if (series.count(name) == 0) order.push_back(name);
    series[name].name = name;
    series[name].points.emplace_back(rate, latency);
  };
  for (const LoadSummary& one : summaries) {
    if (one.kind.empty()) rate = one.offered_rate;
    if (one.kind.empty() == kinds) continue;
    const std::string prefix = one.kind.empty() ? "" : one.kind + " ";
    add(prefix + "p50", one.total.p50);
    if (!kinds) add("p95", one.total.p95);
    add(prefix + "p99", one.total.p99);
  }
  Chart chart = {"Latency against offered rate",
                 "offered requests per second",
                 "latency from the intended time, seconds",
                 false,
                 true,
                 {}};
  for (const std::string& name : order) chart.series.push_back(series[name]);
  return chart;
}

}  // namespace sparsed::clients
