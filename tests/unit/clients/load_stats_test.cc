#include "clients/cpp/load_stats.h"

#include <nlohmann/json.hpp>
#include <random>

#include "tests/testing/catch.h"

namespace sparsed::clients {
namespace {

LoadSample Sample(size_t kind, double total, const std::string& code = "OK") {
  LoadSample sample;
  sample.kind = kind;
  sample.code = code;
  sample.total = total;
  sample.generated_tokens = 32;
  return sample;
}

std::vector<LoadKind> NamedKinds() {
  LoadKind a;
  a.name = "short";
  a.weight = 3;
  LoadKind b;
  b.name = "long";
  return {a, b};
}

}  // namespace

TEST_CASE("load stats: a percentile is the least value that covers its share") {
  std::vector<double> values;
  for (int i = 100; i >= 1; --i) values.push_back(i);
  CHECK(Percentile(values, 0.5) == 50);
  CHECK(Percentile(values, 0.9) == 90);
  CHECK(Percentile(values, 0.95) == 95);
  CHECK(Percentile(values, 0.99) == 99);
  CHECK(Percentile(values, 1) == 100);
  CHECK(Percentile(values, 0) == 1);
  CHECK(Percentile({7}, 0.5) == 7);
  CHECK(Percentile({7}, 0.99) == 7);
  CHECK(Percentile({1, 2}, 0.5) == 1);
  CHECK(Percentile({1, 2}, 0.51) == 2);
  CHECK(Percentile({}, 0.5) == 0);
}

TEST_CASE("load stats: percentiles of any values are among them and in order") {
  std::mt19937 random(1);
  for (int trial = 0; trial < 200; ++trial) {
    std::vector<double> values(1 + random() % 300);
    for (double& value : values) value = random() % 1000;
    std::vector<double> sorted = values;
    std::sort(sorted.begin(), sorted.end());
    for (const double share : {0.5, 0.9, 0.95, 0.99, 1.0}) {
      const double value = Percentile(values, share);
      const auto covered = std::upper_bound(sorted.begin(), sorted.end(), value) - sorted.begin();
      const auto below = std::lower_bound(sorted.begin(), sorted.end(), value) - sorted.begin();
      CHECK(covered >= share * values.size() - 1e-6);
      CHECK(below < share * values.size());
    }
  }
}

TEST_CASE("load stats: errors are counted by code and are no latencies") {
  const std::vector<LoadSample> samples = {Sample(0, 1),
                                           Sample(0, 3),
                                           Sample(1, 20),
                                           Sample(0, 0.001, "RESOURCE_EXHAUSTED"),
                                           Sample(1, 500, "DEADLINE_EXCEEDED"),
                                           Sample(1, 500, "DEADLINE_EXCEEDED")};
  const auto summaries = Summarise(samples, NamedKinds(), 8, 10);
  REQUIRE(summaries.size() == 3);
  const LoadSummary& all = summaries[0];
  CHECK(all.kind.empty());
  CHECK(all.requests == 6);
  CHECK(all.errors ==
        std::map<std::string, size_t>{{"DEADLINE_EXCEEDED", 2}, {"RESOURCE_EXHAUSTED", 1}});
  CHECK(all.throughput == Approx(0.3));
  CHECK(all.tokens_per_second == Approx(9.6));
  CHECK(all.total.p50 == 3);
  CHECK(all.total.most == 20);
  CHECK(summaries[1].kind == "short");
  CHECK(summaries[1].offered_rate == 6);
  CHECK(summaries[1].total.p99 == 3);
  CHECK(summaries[2].offered_rate == 2);
  CHECK(summaries[2].errors.at("DEADLINE_EXCEEDED") == 2);
}

TEST_CASE("load stats: one kind is not told twice, and nothing at all is no trouble") {
  const std::vector<LoadKind> one = {LoadKind()};
  CHECK(Summarise({Sample(0, 1)}, one, 1, 1).size() == 1);
  const auto empty = Summarise({}, one, 1, 0);
  REQUIRE(empty.size() == 1);
  CHECK(empty[0].requests == 0);
  CHECK(empty[0].total.p99 == 0);
  CHECK(RenderLoadTable(empty).find("all") != std::string::npos);
}

TEST_CASE("load stats: the JSON has every rate with its percentiles and errors") {
  auto summaries = Summarise({Sample(0, 2), Sample(1, 4, "UNAVAILABLE")}, NamedKinds(), 2, 1);
  const auto json = nlohmann::json::parse(LoadJson(summaries, R"({"seed": 7})"));
  CHECK(json["settings"]["seed"] == 7);
  REQUIRE(json["rates"].size() == 3);
  CHECK(json["rates"][0]["kind"] == "all");
  CHECK(json["rates"][0]["total_seconds"]["p99"] == 2);
  CHECK(json["rates"][2]["errors"]["UNAVAILABLE"] == 1);
}

TEST_CASE("load stats: the chart has a line for each percentile over the rates of all kinds") {
  std::vector<LoadSummary> summaries;
  for (const double rate : {1.0, 2.0, 4.0}) {
    for (const LoadSummary& one :
         Summarise({Sample(0, rate), Sample(1, 10 * rate)}, NamedKinds(), rate, 1)) {
      summaries.push_back(one);
    }
  }
  const Chart chart = LoadChart(summaries);
  REQUIRE(chart.series.size() == 4);
  CHECK(chart.series[0].name == "short p50");
  CHECK(chart.series[3].name == "long p99");
  const std::vector<std::pair<double, double>> expected = {{1, 10}, {2, 20}, {4, 40}};
  CHECK(chart.series[3].points == expected);

  const Chart plain = LoadChart(Summarise({Sample(0, 1)}, {LoadKind()}, 3, 1));
  REQUIRE(plain.series.size() == 3);
  CHECK(plain.series[1].name == "p95");
}

}  // namespace sparsed::clients
