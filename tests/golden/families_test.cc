// Tiny checkpoints of every family in their original layout: the logits are those of the reference
// models in make_goldens.py.
#include <algorithm>
#include <cmath>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/golden/family_engine.h"
#include "tests/golden/gzip_file.h"
#include "tests/testing/catch.h"

namespace sparsed::testing {
namespace {

constexpr double kTolerance = 1e-4;  // of the largest logit of the row

struct FamilyCase {
  engine::Request request;
  std::vector<std::vector<float>> logits;  // of each canvas position
};

std::vector<FamilyCase> ReadCases(const std::string& folder) {
  const auto json = nlohmann::json::parse(ReadGzipFile(folder + "/golden.json.gz"));
  std::vector<FamilyCase> cases;
  for (const nlohmann::json& item : json["cases"]) {
    FamilyCase& golden = cases.emplace_back();
    golden.request.ids = item["ids"].get<std::vector<int32_t>>();
    golden.request.canvas = item["canvas"].get<std::vector<int32_t>>();
    golden.request.sampling.steps = static_cast<int32_t>(golden.request.canvas.size());
    golden.request.sampling.block_length = golden.request.sampling.steps;
    golden.request.sparse.mode = engine::SparseMode::kOff;
    golden.logits = item["logits"].get<std::vector<std::vector<float>>>();
  }
  return cases;
}

// The largest difference, as a share of the largest logit.
double ErrorOf(const std::vector<float>& logits, const std::vector<float>& wanted) {
  REQUIRE(logits.size() == wanted.size());
  double difference = 0;
  double largest = 0;
  for (size_t i = 0; i < wanted.size(); ++i) {
    REQUIRE(std::isfinite(logits[i]));
    difference = std::max(difference, std::abs(double{logits[i]} - wanted[i]));
    largest = std::max(largest, std::abs(double{wanted[i]}));
  }
  return difference / largest;
}

}  // namespace

TEST_CASE("Every family's logits are its reference's") {
  const std::string name = GENERATE("llada-grouped", "dream", "dream-tied", "llada-moe");
  CAPTURE(name);
  const std::string folder = FamilyFolder(name);
  Recording recording;
  recording.keep_logits = true;
  auto engine = LoadFamily(folder, &recording);
  const std::vector<FamilyCase> cases = ReadCases(folder);
  REQUIRE(cases.size() == 3);
  for (const FamilyCase& golden : cases) REQUIRE(engine->Start(golden.request).ok());
  REQUIRE(engine->Step().ok());

  double worst = 0;
  size_t sample = 0;
  for (const FamilyCase& golden : cases) {
    for (size_t i = 0; i < golden.request.canvas.size(); ++i, ++sample) {
      CAPTURE(golden.request.ids.size(), golden.request.canvas[i]);
      REQUIRE(recording.samples.at(sample).position ==
              static_cast<uint32_t>(golden.request.canvas[i]));
      const double error = ErrorOf(recording.logits[sample], golden.logits[i]);
      REQUIRE(error <= kTolerance);
      worst = std::max(worst, error);
    }
  }
  REQUIRE(sample == recording.samples.size());
  std::cout << name << ": " << sample << " rows of logits, largest relative difference " << worst
            << "\n";
}

}  // namespace sparsed::testing
