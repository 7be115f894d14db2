#include "engine/decoding_schedule.h"

#include <utility>
#include <vector>

#include "tests/testing/catch.h"

namespace sparsed::engine {
namespace {

using Runs = std::vector<std::pair<int32_t, int32_t>>;  // count, and for how many steps

std::vector<int32_t> Counts(int32_t masked, int32_t steps) {
  std::vector<int32_t> counts;
  for (int32_t i = 0; i < steps; ++i) counts.push_back(TransferCount(masked, steps, i));
  return counts;
}

std::vector<int32_t> Repeat(int32_t value, int32_t times) {
  return std::vector<int32_t>(times, value);
}

// Commits per step of Dream's schedule when no sampled token is the mask token, run by run.
Runs DreamRuns(int32_t gen_length, int32_t steps) {
  SamplingParams sampling;
  sampling.steps = steps;
  sampling.block_length = gen_length;
  sampling.remasking = Remasking::kEntropy;
  Runs runs;
  int32_t masked = gen_length;
  for (int32_t step = 0; step < steps; ++step) {
    const DecodingStep plan = PlanDecodingStep(sampling, gen_length, step, masked);
    REQUIRE(plan.block_end == gen_length);
    REQUIRE(plan.end == steps);
    masked -= plan.commits;
    if (runs.empty() || runs.back().first != plan.commits) runs.push_back({plan.commits, 0});
    ++runs.back().second;
  }
  REQUIRE(masked == 0);
  return runs;
}

}  // namespace

TEST_CASE("LLaDA's transfer counts") {
  REQUIRE(Counts(32, 32) == Repeat(1, 32));
  std::vector<int32_t> expected = Repeat(3, 8);
  expected.insert(expected.end(), 4, 2);
  REQUIRE(Counts(32, 12) == expected);
  REQUIRE(Counts(128, 64) == Repeat(2, 64));
  REQUIRE(Counts(10, 4) == std::vector<int32_t>{3, 3, 2, 2});
  REQUIRE(Counts(4, 8) == std::vector<int32_t>{1, 1, 1, 1, 0, 0, 0, 0});
}

TEST_CASE("Steps run over the decoding blocks in order and commit the whole canvas") {
  SamplingParams sampling;
  sampling.steps = 36;
  sampling.block_length = 32;
  int32_t committed = 0;
  for (int32_t step = 0; step < 36; ++step) {
    CAPTURE(step);
    const DecodingStep plan = PlanDecodingStep(sampling, 96, step, 96 - committed);
    REQUIRE(plan.block_end == (step / 12 + 1) * 32);
    REQUIRE(plan.commits == (step % 12 < 8 ? 3 : 2));
    REQUIRE(plan.end == step / 12 * 12 + 12);
    REQUIRE(CanvasBefore(sampling, 96, step) == step / 12 * 32);
    committed += plan.commits;
  }
  REQUIRE(committed == 96);
}

TEST_CASE("Dream commits as its reference does") {
  for (const int32_t n : {4, 8, 16, 32, 64, 128, 256, 512}) {
    REQUIRE(DreamRuns(n, n) == Runs{{0, 1}, {1, n - 2}, {2, 1}});
  }
  REQUIRE(DreamRuns(128, 64) == Runs{{1, 1}, {2, 62}, {3, 1}});
  REQUIRE(DreamRuns(256, 64) == Runs{{3, 1}, {4, 62}, {5, 1}});
  REQUIRE(DreamRuns(128, 32) == Runs{{3, 1}, {4, 30}, {5, 1}});
  REQUIRE(DreamRuns(256, 100) == Runs{{2, 45}, {3, 54}, {4, 1}});
  REQUIRE(DreamRuns(100, 64) == Runs{{1, 29}, {2, 34}, {3, 1}});
  REQUIRE(DreamRuns(1, 1) == Runs{{1, 1}});
}

TEST_CASE("Dream's origin commits each position with the share of the step") {
  Sequence sequence;
  constexpr int32_t kGenLength = 20000;
  sequence.request = MakeRequest({10}, kGenLength, 5);
  sequence.request.sampling.steps = 8;
  sequence.request.sampling.seed = 3;
  sequence.request.sampling.remasking = Remasking::kOrigin;
  for (const int32_t step : {0, 3, 6, 7}) {
    sequence.next_step = step;
    int32_t competing = 0;
    for (int32_t i = 0; i < kGenLength; ++i) competing += Competes(sequence, i) ? 1 : 0;
    const double share = UnmaskShare(8, step);
    CAPTURE(step, share, competing);
    REQUIRE(share == Approx(step == 7 ? 1.0 : (1 - 1e-3) / (8 - step * (1 - 1e-3))).epsilon(1e-5));
    // Four standard deviations.
    REQUIRE(competing == Approx(kGenLength * share).margin(4 * std::sqrt(kGenLength * 0.25)));
    if (step == 7) REQUIRE(competing == kGenLength);
    const DecodingStep plan =
        PlanDecodingStep(sequence.request.sampling, kGenLength, step, kGenLength);
    REQUIRE(plan.commits == kGenLength);  // all that compete
  }
  sequence.request.sampling.remasking = Remasking::kEntropy;
  REQUIRE(Competes(sequence, 17));
}

}  // namespace sparsed::engine
