// Requests whose tokens are given: what the model says of them, step by step.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "tests/unit/engine/tiny_engine.h"

namespace sparsed::engine {
namespace {

std::vector<int32_t> SomeTargets(int32_t count, int32_t salt) {
  std::vector<int32_t> targets;
  for (int32_t i = 0; i < count; ++i) targets.push_back(6 + (i * 53 + salt) % 110);
  return targets;
}

Request RandomOrder(int32_t salt) {
  Request request = MakeTinyRequest(250, 48, 48, 16);
  request.sampling.remasking = Remasking::kRandom;
  request.sampling.seed = 11;
  request.sparse.mode = SparseMode::kOff;
  request.target_ids = SomeTargets(48, salt);
  return request;
}

}  // namespace

TEST_CASE("Targets that greedy decoding gave are committed as there") {
  const std::string shape = GENERATE("tiny", "tiny-dream");
  const Remasking remasking =
      GENERATE(Remasking::kLowConfidence, Remasking::kMaskgitPlus, Remasking::kTopkMargin);
  const SparseMode mode = GENERATE(SparseMode::kOff, SparseMode::kSparseD);
  CAPTURE(shape, remasking, mode);
  auto engine = MakeTinyCpuEngine(2, shape);
  Request request = MakeTinyRequest(120, 32, 16, IsDreamRule(remasking) ? 32 : 16);
  request.sampling.remasking = remasking;
  request.sparse.mode = mode;
  request.sparse.select = 0.3;
  const Outcome free = RunAlone(*engine, request);
  REQUIRE(free.log_probabilities.empty());
  REQUIRE(std::count(free.canvas.begin(), free.canvas.end(), 5) == 0);
  request.target_ids = free.canvas;
  Outcome forced = RunAlone(*engine, request);
  for (size_t i = 0; i < free.canvas.size() && remasking != Remasking::kTopkMargin; ++i) {
    REQUIRE(forced.log_probabilities[i] == Approx(std::log(free.confidences[i])).margin(1e-5));
  }
  forced.log_probabilities.clear();
  REQUIRE(forced == free);
}

TEST_CASE("In random order the canvases hang on seed and targets alone") {
  auto engine = MakeTinyCpuEngine(2);
  const Request request = RandomOrder(1);
  const Outcome full = RunAlone(*engine, request);
  REQUIRE(full.canvas == request.target_ids);
  REQUIRE(RunAlone(*engine, RandomOrder(2)).commit_steps == full.commit_steps);

  Request sparse = request;
  sparse.sparse.mode = SparseMode::kSparseD;
  sparse.sparse.select = 0.1;
  sparse.sparse.block_size = 32;
  const Outcome drifted = RunAlone(*engine, sparse);
  REQUIRE(drifted.canvas == full.canvas);
  REQUIRE(drifted.commit_steps == full.commit_steps);
  int differ = 0;
  for (size_t i = 0; i < full.canvas.size(); ++i) {
    const bool same = drifted.log_probabilities[i] == full.log_probabilities[i];
    // Steps 0 to 10 are full.
    if (full.commit_steps[i] <= 10) REQUIRE(same);
    differ += same ? 0 : 1;
  }
  REQUIRE(differ > 20);

  Request other_order = request;
  other_order.sampling.seed = 12;
  REQUIRE(RunAlone(*engine, other_order).commit_steps != full.commit_steps);
}

TEST_CASE("A target's log-probability is that of its step's canvas") {
  auto engine = MakeTinyCpuEngine(2);
  const Request request = RandomOrder(3);
  const Outcome outcome = RunAlone(*engine, request);
  for (const int32_t step : {0, 5, 21, 47}) {
    // The same canvas as a template with holes, one of which is asked.
    Request asked = request;
    asked.canvas.clear();
    asked.target_ids.clear();
    size_t place = 0;
    size_t canvas_index = 0;
    for (size_t i = 0; i < request.canvas.size(); ++i) {
      const int32_t position = request.canvas[i];
      if (outcome.commit_steps[i] < step) {
        asked.ids[position] = request.target_ids[i];
        continue;
      }
      if (outcome.commit_steps[i] == step) {
        place = asked.canvas.size();
        canvas_index = i;
      }
      asked.canvas.push_back(position);
      asked.target_ids.push_back(request.target_ids[i]);
    }
    asked.sampling.steps = 1;
    asked.sampling.block_length = static_cast<int32_t>(asked.canvas.size());
    CAPTURE(step, canvas_index);
    REQUIRE(RunAlone(*engine, asked).log_probabilities[place] ==
            outcome.log_probabilities[canvas_index]);
    REQUIRE(outcome.log_probabilities[canvas_index] < 0);
  }
}

}  // namespace sparsed::engine
