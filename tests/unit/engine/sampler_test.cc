#include "engine/sampler.h"

#include <numeric>
#include <vector>

#include "tests/testing/catch.h"

namespace sparsed::engine {
namespace {

ModelInfo TestInfo() {
  ModelInfo model;
  model.mask_token_id = 5;
  model.end_token_ids = {1, 4};
  return model;
}

std::vector<int32_t> Counts(int32_t masked, int32_t steps) {
  std::vector<int32_t> counts;
  for (int32_t i = 0; i < steps; ++i) counts.push_back(TransferCount(masked, steps, i));
  return counts;
}

std::vector<int32_t> Repeat(int32_t value, int32_t times) {
  return std::vector<int32_t>(times, value);
}

// A sequence whose canvas (from position 2 on) holds these ids.
Sequence WithCanvas(const std::vector<int32_t>& canvas_ids) {
  Request request = MakeRequest({10, 11}, static_cast<int32_t>(canvas_ids.size()), 5);
  request.sampling.steps = 1;
  request.sampling.block_length = static_cast<int32_t>(canvas_ids.size());
  Sequence sequence = Sequence::FromRequest(request, TestInfo());
  std::copy(canvas_ids.begin(), canvas_ids.end(), sequence.ids.begin() + 2);
  return sequence;
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
    const DecodingStep plan = PlanDecodingStep(sampling, 96, step);
    REQUIRE(plan.block_end == (step / 12 + 1) * 32);
    REQUIRE(plan.commits == (step % 12 < 8 ? 3 : 2));
    REQUIRE(plan.last_of_block == (step % 12 == 11));
    committed += plan.commits;
  }
  REQUIRE(committed == 96);
}

TEST_CASE("A sample row carries the request's numbers and the place in the sequence") {
  Sequence sequence = WithCanvas({5, 5, 5, 5});
  sequence.request.sampling.seed = 77;
  sequence.request.sampling.temperature = 0.5f;
  sequence.request.sampling.cfg_scale = 2;
  sequence.next_step = 3;
  kernels::SampleRow row = SampleRowFor(sequence, 1);
  REQUIRE(row.seed == 77);
  REQUIRE(row.step == 3);
  REQUIRE(row.position == 3);  // 2 prompt tokens
  REQUIRE(row.temperature == 0.5f);
  REQUIRE(row.cfg_scale == 2);
  REQUIRE(row.rule == kernels::ConfidenceRule::kProbability);
  sequence.request.sampling.remasking = Remasking::kRandom;
  REQUIRE(SampleRowFor(sequence, 1).rule == kernels::ConfidenceRule::kRandom);
}

TEST_CASE("A commit of the mask token leaves the position masked") {
  Sequence sequence = WithCanvas({5, 5});
  sequence.next_step = 4;
  REQUIRE_FALSE(ApplyCommit(sequence, {1, 5, 0.9f}, 5));
  REQUIRE(sequence.ids[3] == 5);
  REQUIRE(sequence.commit_steps[1] == -1);
  REQUIRE(sequence.confidences[1] == 0);
  REQUIRE(ApplyCommit(sequence, {1, 42, 0.8f}, 5));
  REQUIRE(sequence.ids[3] == 42);
  REQUIRE(sequence.commit_steps[1] == 4);
  REQUIRE(sequence.confidences[1] == 0.8f);
}

TEST_CASE("The text has ended where an end token follows no mask") {
  REQUIRE(TextEnded(WithCanvas({9, 4, 9, 5}), TestInfo(), 3));
  REQUIRE(TextEnded(WithCanvas({1, 5, 5, 5}), TestInfo(), 3));  // masks behind it do not matter
  REQUIRE_FALSE(TextEnded(WithCanvas({5, 4, 9, 9}), TestInfo(), 3));
  REQUIRE_FALSE(TextEnded(WithCanvas({9, 9, 9, 1}), TestInfo(), 3));  // not in the blocks done
  REQUIRE_FALSE(TextEnded(WithCanvas({9, 9, 9, 9}), TestInfo(), 4));
}

TEST_CASE("An end token ends its own hole only") {
  Request request;
  request.ids = {10, 5, 5, 11, 5, 5};
  request.canvas = {1, 2, 4, 5};
  request.sampling.steps = 2;
  request.sampling.block_length = 2;
  Sequence sequence = Sequence::FromRequest(request, TestInfo());
  sequence.ids = {10, 1, 9, 11, 5, 5};
  REQUIRE_FALSE(TextEnded(sequence, TestInfo(), 2));
  sequence.ids = {10, 1, 9, 11, 1, 5};
  REQUIRE(TextEnded(sequence, TestInfo(), 4));
}

TEST_CASE("Blocks behind the text's end hold the first end token") {
  Sequence sequence = WithCanvas({9, 4, 5, 5});
  sequence.request.sampling.steps = 4;
  sequence.request.sampling.block_length = 2;
  sequence.next_step = 2;
  REQUIRE(sequence.CanvasIds(TestInfo()) == std::vector<int32_t>{9, 4, 5, 5});
  sequence.finished = true;
  REQUIRE(sequence.CanvasIds(TestInfo()) == std::vector<int32_t>{9, 4, 1, 1});
}

}  // namespace sparsed::engine
