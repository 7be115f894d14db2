#include "engine/sampler.h"

#include <vector>

#include "tests/testing/catch.h"

namespace sparsed::engine {
namespace {

ModelInfo EndedInfo() {
  ModelInfo model;
  model.mask_token_id = 5;
  model.end_token_ids = {1, 4};
  return model;
}

// A sequence whose canvas (from position 2 on) holds these ids.
Sequence WithCanvas(const std::vector<int32_t>& canvas_ids) {
  Request request = MakeRequest({10, 11}, static_cast<int32_t>(canvas_ids.size()), 5);
  request.sampling.steps = 1;
  request.sampling.block_length = static_cast<int32_t>(canvas_ids.size());
  Sequence sequence = Sequence::FromRequest(request, EndedInfo());
  std::copy(canvas_ids.begin(), canvas_ids.end(), sequence.ids.begin() + 2);
  return sequence;
}

}  // namespace

TEST_CASE("A sample row carries the request's numbers and the place in the sequence") {
  Sequence sequence = WithCanvas({5, 5, 5, 5});
  sequence.request.sampling.seed = 77;
  sequence.request.sampling.temperature = 0.5f;
  sequence.request.sampling.cfg_scale = 2;
  sequence.next_step = 3;
  kernels::SampleRow row = SampleRowFor(sequence, EndedInfo(), 1);
  REQUIRE(row.seed == 77);
  REQUIRE(row.step == 3);
  REQUIRE(row.position == 3);  // 2 prompt tokens
  REQUIRE(row.temperature == 0.5f);
  REQUIRE(row.cfg_scale == 2);
  REQUIRE(row.rule == kernels::ConfidenceRule::kProbability);
  sequence.request.sampling.remasking = Remasking::kRandom;
  REQUIRE(SampleRowFor(sequence, EndedInfo(), 1).rule == kernels::ConfidenceRule::kRandom);
}

TEST_CASE("A sample row and its group carry the options of Dream's rules") {
  Sequence sequence = WithCanvas({5, 5, 5, 5});
  SamplingParams& sampling = sequence.request.sampling;
  sampling.remasking = Remasking::kTopkMargin;
  sampling.top_p = 0.9f;
  sampling.top_k = 7;
  sampling.algorithm_temperature = 0.3f;
  sampling.seed = 77;
  sequence.next_step = 3;
  const kernels::SampleRow row = SampleRowFor(sequence, EndedInfo(), 1);
  REQUIRE(row.rule == kernels::ConfidenceRule::kMargin);
  REQUIRE(row.top_p == 0.9f);
  REQUIRE(row.top_k == 7);
  REQUIRE(row.forbidden_token == -1);
  REQUIRE(row.unsure_tokens[0] == -1);
  REQUIRE(row.unsure_tokens[1] == -1);
  const kernels::CommitGroup group = CommitGroupFor(sequence, 20, 4, 2);
  REQUIRE(group.first == 20);
  REQUIRE(group.count == 4);
  REQUIRE(group.keep == 2);
  REQUIRE(group.temperature == 0.3f);
  REQUIRE(group.seed == 77);
  REQUIRE(group.step == 3);
}

TEST_CASE("End tokens are forbidden or unsure as the reference has it") {
  Sequence sequence = WithCanvas({5, 5});
  SamplingParams& sampling = sequence.request.sampling;
  sampling.logits_eos_inf = true;
  sampling.confidence_eos_eot_inf = true;
  kernels::SampleRow row = SampleRowFor(sequence, EndedInfo(), 0);
  REQUIRE(row.forbidden_token == 1);
  REQUIRE(row.unsure_tokens[0] == 1);
  REQUIRE(row.unsure_tokens[1] == 4);
  sampling.temperature = 1;
  row = SampleRowFor(sequence, EndedInfo(), 0);
  REQUIRE(row.unsure_tokens[0] == -1);
  REQUIRE(row.unsure_tokens[1] == 4);
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
  REQUIRE(TextEnded(WithCanvas({9, 4, 9, 5}), EndedInfo(), 3));
  REQUIRE(TextEnded(WithCanvas({1, 5, 5, 5}), EndedInfo(), 3));  // masks behind it do not matter
  REQUIRE_FALSE(TextEnded(WithCanvas({5, 4, 9, 9}), EndedInfo(), 3));
  REQUIRE_FALSE(TextEnded(WithCanvas({9, 9, 9, 1}), EndedInfo(), 3));  // not in the blocks done
  REQUIRE_FALSE(TextEnded(WithCanvas({9, 9, 9, 9}), EndedInfo(), 4));
}

TEST_CASE("An end token ends its own hole only") {
  Request request;
  request.ids = {10, 5, 5, 11, 5, 5};
  request.canvas = {1, 2, 4, 5};
  request.sampling.steps = 2;
  request.sampling.block_length = 2;
  Sequence sequence = Sequence::FromRequest(request, EndedInfo());
  sequence.ids = {10, 1, 9, 11, 5, 5};
  REQUIRE_FALSE(TextEnded(sequence, EndedInfo(), 2));
  sequence.ids = {10, 1, 9, 11, 1, 5};
  REQUIRE(TextEnded(sequence, EndedInfo(), 4));
}

TEST_CASE("Blocks behind the text's end hold the first end token") {
  Sequence sequence = WithCanvas({9, 4, 5, 5});
  sequence.request.sampling.steps = 4;
  sequence.request.sampling.block_length = 2;
  sequence.next_step = 2;
  sequence.schedule_step = 2;
  REQUIRE(sequence.CanvasIds(EndedInfo()) == std::vector<int32_t>{9, 4, 5, 5});
  sequence.finished = true;
  REQUIRE(sequence.CanvasIds(EndedInfo()) == std::vector<int32_t>{9, 4, 1, 1});
}

}  // namespace sparsed::engine
