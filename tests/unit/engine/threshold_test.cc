// Decoding by a confidence threshold: what a step commits, when a block and a request end, and when
// sparse attention begins.
#include <algorithm>
#include <cstdint>
#include <map>
#include <vector>

#include "tests/unit/engine/tiny_engine.h"

namespace sparsed::engine {
namespace {

// A request that runs to its end, step by step.
struct Run {
  std::vector<SequenceStep> steps;
  Outcome outcome;
  StepCounts counts;
  int32_t computed = 0;
};

Run RunSteps(Engine& engine, const Request& request) {
  Run run;
  const SequenceId id = engine.Start(request).value();
  while (!engine.Find(id)->finished) {
    auto steps = engine.Step();
    REQUIRE(steps.ok());
    run.steps.push_back(std::move(steps->front()));
    REQUIRE(run.steps.back().step + 1 == static_cast<int32_t>(run.steps.size()));
  }
  run.outcome = OutcomeOf(engine, id);
  run.counts = engine.Find(id)->counts;
  run.computed = engine.Find(id)->ComputedTokens();
  engine.Remove(id);
  return run;
}

Request Plain(Remasking remasking = Remasking::kLowConfidence) {
  Request request = MakeTinyRequest(60, 48, 48, IsDreamRule(remasking) ? 48 : 16);
  request.sampling.remasking = remasking;
  request.sparse.mode = SparseMode::kOff;
  return request;
}

// How sure the model is of each position of the first block in the very first step.
std::map<int32_t, float> FirstConfidences(Engine& engine, Request request) {
  request.sampling.steps = request.sampling.steps / request.sampling.block_length;
  std::map<int32_t, float> confidences;
  const Run run = RunSteps(engine, request);
  for (const Commit& commit : run.steps.front().commits) {
    confidences[commit.canvas_index] = commit.confidence;
  }
  return confidences;
}

void GoSparse(Request& request) {
  request.sparse.mode = SparseMode::kSparseD;
  request.sparse.skip = 0.2;
  request.sparse.select = 0.3;
  request.sparse.block_size = 32;
}

float Highest(const Outcome& outcome) {
  return *std::max_element(outcome.confidences.begin(), outcome.confidences.end());
}

}  // namespace

TEST_CASE("A threshold above all confidences changes nothing") {
  auto engine = MakeTinyCpuEngine(2);
  for (const Remasking remasking : {Remasking::kLowConfidence, Remasking::kMaskgitPlus}) {
    for (const float temperature : {0.0f, 0.8f}) {
      Request request = Plain(remasking);
      request.sampling.steps = 24;
      request.sampling.temperature = temperature;
      const Outcome plain = RunAlone(*engine, request);
      REQUIRE(Highest(plain) < 1);
      request.sampling.confidence_threshold = 1.0f;
      REQUIRE(RunAlone(*engine, request) == plain);
    }
  }
}

TEST_CASE("A step commits all that are sure enough, and no fewer than its schedule says") {
  auto engine = MakeTinyCpuEngine(2);
  for (const Remasking remasking : {Remasking::kLowConfidence, Remasking::kMaskgitPlus}) {
    const Request plain = Plain(remasking);
    const std::map<int32_t, float> confidences = FirstConfidences(*engine, plain);
    REQUIRE(static_cast<int32_t>(confidences.size()) == plain.sampling.block_length);
    std::vector<float> sorted;
    for (const auto& [index, confidence] : confidences) sorted.push_back(confidence);
    std::sort(sorted.rbegin(), sorted.rend());
    const size_t scheduled = RunSteps(*engine, plain).steps.front().commits.size();
    for (const size_t rank : {size_t{0}, size_t{1}, size_t{6}, sorted.size() - 1}) {
      CAPTURE(remasking, rank);
      Request request = plain;
      request.sampling.confidence_threshold = sorted[rank];
      const Run run = RunSteps(*engine, request);
      const auto sure = static_cast<size_t>(
          std::count_if(sorted.begin(), sorted.end(), [&](float c) { return c >= sorted[rank]; }));
      const std::vector<Commit>& commits = run.steps.front().commits;
      REQUIRE(commits.size() == std::max(sure, scheduled));
      for (size_t i = 0; i < commits.size(); ++i) {
        REQUIRE(commits[i].confidence == sorted[i]);
        REQUIRE(confidences.at(commits[i].canvas_index) == sorted[i]);
      }
      // In every step: what goes beyond the schedule, one of LLaDA's a step, is sure enough.
      for (const SequenceStep& step : run.steps) {
        for (size_t i = 1; i < step.commits.size() && !IsDreamRule(remasking); ++i) {
          REQUIRE(step.commits[i].confidence >= sorted[rank]);
        }
      }
      REQUIRE(run.steps.size() <= 48);
      REQUIRE(run.computed == 48);
    }
  }
}

TEST_CASE("A block that is all committed ends, and the next step is of the next block") {
  auto engine = MakeTinyCpuEngine(2);
  Request request = Plain();
  request.sampling.steps = 3;
  const Outcome at_once = RunAlone(*engine, request);
  request.sampling.steps = 48;
  request.sampling.confidence_threshold = 1e-6f;
  const Run run = RunSteps(*engine, request);
  REQUIRE(run.steps.size() == 3);
  for (const SequenceStep& step : run.steps) {
    REQUIRE(step.block_finished);
    REQUIRE(step.commits.size() == 16);
  }
  REQUIRE(run.outcome == at_once);

  // The blocks of a run in between end where their last position is committed.
  request.sampling.confidence_threshold = Highest(at_once);
  const Run slow = RunSteps(*engine, request);
  REQUIRE(slow.steps.size() > 3);
  REQUIRE(slow.steps.size() < 48);
  int32_t left = 16;
  for (const SequenceStep& step : slow.steps) {
    REQUIRE(!step.commits.empty());
    left -= static_cast<int32_t>(step.commits.size());
    REQUIRE(step.block_finished == (left == 0));
    if (left == 0) left = 16;
  }
}

TEST_CASE("A text that ends early has the blocks behind it uncomputed, whatever steps it took") {
  auto engine = MakeTinyCpuEngine(2);
  int stopped = 0;
  for (uint64_t seed = 0; seed < 12; ++seed) {
    CAPTURE(seed);
    Request request = MakeTinyRequest(30, 48, 48, 8);
    request.sampling.seed = seed;
    request.sampling.temperature = 1.5f;
    request.sampling.confidence_threshold = 1e-6f;  // mostly a block a step
    const Run all = RunSteps(*engine, request);
    request.sampling.stop_at_end = true;
    const Run run = RunSteps(*engine, request);
    const auto blocks = std::count_if(run.steps.begin(), run.steps.end(),
                                      [](const SequenceStep& step) { return step.block_finished; });
    REQUIRE(run.computed == 8 * blocks);
    for (int32_t i = 0; i < 48; ++i) {
      const bool computed = i < run.computed;
      REQUIRE(run.outcome.canvas[i] ==
              (computed ? all.outcome.canvas[i] : engine->model_info().end_token_ids.front()));
      REQUIRE(run.outcome.commit_steps[i] == (computed ? all.outcome.commit_steps[i] : -1));
    }
    if (run.computed < 48) ++stopped;
  }
  REQUIRE(stopped > 0);
}

TEST_CASE("Sparse attention begins once the share skip is committed, long before its step") {
  auto engine = MakeTinyCpuEngine(2);
  Request request = MakeTinyRequest(250, 64, 64, 8);  // by its number step 13 selects
  GoSparse(request);
  request.sampling.confidence_threshold = 1e-6f;  // a block a step: 8 of them
  using enum StepKind;
  const auto kinds = [&] {
    std::vector<StepKind> all;
    for (const SequenceStep& step : RunSteps(*engine, request).steps) all.push_back(step.kind);
    return all;
  };
  // After step 1 a quarter is committed.
  REQUIRE(kinds() == std::vector<StepKind>{kFull, kFull, kSelect, kSparse, kSparse, kSparse,
                                           kSparse, kSparse});
  // At exactly the share it is not yet above it.
  request.sparse.skip = 0.25;
  REQUIRE(kinds() ==
          std::vector<StepKind>{kFull, kFull, kFull, kSelect, kSparse, kSparse, kSparse, kSparse});
  // Where all full steps select there is a pattern already.
  request.sparse.switch_overlap = 1.0;
  REQUIRE(kinds() == std::vector<StepKind>{kSelect, kSelect, kSelect, kSparse, kSparse, kSparse,
                                           kSparse, kSparse});
}

TEST_CASE("By its number the select step comes where few tokens are committed") {
  auto engine = MakeTinyCpuEngine(2);
  Request request = MakeTinyRequest(250, 64, 32, 64);
  GoSparse(request);
  const Run plain = RunSteps(*engine, request);
  request.sampling.confidence_threshold = 1.0f;
  const Run run = RunSteps(*engine, request);
  REQUIRE(run.outcome == plain.outcome);
  REQUIRE(run.counts.full == 7);
  REQUIRE(run.counts.select == 1);
  REQUIRE(run.counts.sparse == 24);
}

}  // namespace sparsed::engine
