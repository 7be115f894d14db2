#include "clients/cpp/load_schedule.h"

#include <algorithm>
#include <cmath>

#include "tests/testing/catch.h"

namespace sparsed::clients {
namespace {

std::vector<LoadKind> TwoKinds() {
  LoadKind often;
  often.name = "often";
  often.weight = 3;
  LoadKind seldom;
  seldom.name = "seldom";
  return {often, seldom};
}

std::string Error(const std::string& text) {
  const auto mix = ParseMix(text, "mix.jsonl");
  REQUIRE_FALSE(mix.ok());
  CHECK(mix.status().code() == absl::StatusCode::kInvalidArgument);
  return std::string(mix.status().message());
}

}  // namespace

TEST_CASE("load schedule: fixed arrivals are evenly spaced, without drift") {
  const auto schedule = MakeSchedule(30, 100, Arrivals::kFixed, TwoKinds(), 1);
  REQUIRE(schedule.size() == 3000);
  for (size_t i = 0; i < schedule.size(); ++i) CHECK(schedule[i].at == i / 30.0);
}

TEST_CASE("load schedule: Poisson arrivals come at the rate, as gaps and counts of their law") {
  const double rate = 50;
  const double seconds = 2000;
  const auto schedule = MakeSchedule(rate, seconds, Arrivals::kPoisson, TwoKinds(), 3);
  // Four standard deviations.
  CHECK(std::abs(schedule.size() - rate * seconds) < 4 * std::sqrt(rate * seconds));
  double longer = 0;
  std::vector<double> counts(2000);
  for (size_t i = 0; i < schedule.size(); ++i) {
    CHECK(schedule[i].at < seconds);
    if (i > 0) {
      CHECK(schedule[i].at >= schedule[i - 1].at);
      longer += schedule[i].at - schedule[i - 1].at > 1 / rate ? 1 : 0;
    }
    ++counts[static_cast<size_t>(schedule[i].at)];
  }
  CHECK(longer / schedule.size() == Approx(std::exp(-1)).epsilon(0.02));
  double variance = 0;
  for (const double count : counts) variance += (count - rate) * (count - rate) / counts.size();
  CHECK(variance == Approx(rate).epsilon(0.15));
}

TEST_CASE("load schedule: kinds come by weight, and the seed decides everything") {
  const auto schedule = MakeSchedule(100, 100, Arrivals::kPoisson, TwoKinds(), 5);
  const auto often = std::count_if(schedule.begin(), schedule.end(),
                                   [](const LoadArrival& one) { return one.kind == 0; });
  CHECK(static_cast<double>(often) / schedule.size() == Approx(0.75).epsilon(0.03));
  const auto same = MakeSchedule(100, 100, Arrivals::kPoisson, TwoKinds(), 5);
  const auto other = MakeSchedule(100, 100, Arrivals::kPoisson, TwoKinds(), 6);
  REQUIRE(same.size() == schedule.size());
  CHECK(std::equal(same.begin(), same.end(), schedule.begin(),
                   [](const auto& a, const auto& b) { return a.at == b.at && a.kind == b.kind; }));
  CHECK(other.front().at != schedule.front().at);
}

TEST_CASE("load mix: what a line leaves out has its default") {
  const auto mix = ParseMix(
      "{\"prompt_tokens\": 4000, \"gen_length\": 64, \"weight\": 0.5, \"sparse\": \"off\"}\n\n"
      "{\"name\": \"chat\", \"steps\": 8, \"priority\": -3}\n",
      "mix.jsonl");
  REQUIRE(mix.ok());
  REQUIRE(mix->size() == 2);
  CHECK((*mix)[0].name == "4000+64");
  CHECK((*mix)[0].prompt_tokens == 4000);
  CHECK((*mix)[0].weight == 0.5);
  CHECK((*mix)[0].sparse == v1::SPARSE_MODE_OFF);
  CHECK((*mix)[1].name == "chat");
  CHECK((*mix)[1].weight == 1);
  CHECK((*mix)[1].steps == 8);
  CHECK((*mix)[1].priority == -3);
  CHECK((*mix)[1].sparse == v1::SPARSE_MODE_UNSPECIFIED);
}

TEST_CASE("load mix: what is wrong is named with its line") {
  CHECK(Error("{}\n{\"steps\": 0}") == "mix.jsonl:2: steps: is not an integer from 1 to 16777216");
  CHECK(Error("{\"stepz\": 1}") == "mix.jsonl:1: stepz: is not known");
  CHECK(Error("{\"weight\": 0}") == "mix.jsonl:1: weight: is not a positive number");
  CHECK(Error("{\"weight\": \"1\"}") == "mix.jsonl:1: weight: is not a positive number");
  CHECK(Error("{\"sparse\": \"on\"}") == "mix.jsonl:1: sparse: is not auto, off or sparsed");
  CHECK(Error("{\"gen_length\": 1.5}") ==
        "mix.jsonl:1: gen_length: is not an integer from 1 to 16777216");
  CHECK(Error("{\"name\": 1}") == "mix.jsonl:1: name: is not a string");
  CHECK(Error("{\"priority\": \"high\"}") == "mix.jsonl:1: priority: is not an integer");
  CHECK(Error("[]") == "mix.jsonl:1: is not a JSON object");
  CHECK(Error("\n \n") == "mix.jsonl: holds no kind");
  CHECK(LoadMix("/nowhere/mix.jsonl").status().code() == absl::StatusCode::kNotFound);
}

}  // namespace sparsed::clients
