// nano against the reference implementation's float32 results, step by step.
//
// Where confidences, or importances, lie within kTie of one another, their order depends on the
// rounding of the matrix products: such places are counted and printed, all others must agree.
#include <algorithm>
#include <cmath>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "tests/golden/golden_compare.h"
#include "tests/golden/golden_data.h"
#include "tests/testing/catch.h"

namespace sparsed::testing {
namespace {

constexpr float kTie = 1e-6f;
constexpr double kLogitTolerance = 2e-3;

// What has been compared so far.
struct Comparison {
  int64_t steps = 0;
  int64_t tied_commits = 0;
  int64_t tiles = 0;
  int64_t tied_tiles = 0;
  int64_t own_steps = 0;  // from another canvas than the golden's
};

// Compares one step's commits, rank by rank.
void CompareCommits(const Recording& recording, const GoldenCase& golden,
                    const std::vector<std::pair<int32_t, int32_t>>& expected,
                    Comparison& comparison) {
  REQUIRE(recording.chosen.size() == expected.size());
  for (size_t rank = 0; rank < expected.size(); ++rank) {
    const size_t ours = recording.chosen[rank];
    const size_t theirs = SampleOf(recording, golden, expected[rank].first);
    CAPTURE(rank, recording.confidences[ours], recording.confidences[theirs]);
    REQUIRE(recording.tokens[theirs] == expected[rank].second);
    if (ours == theirs) continue;
    REQUIRE(std::abs(recording.confidences[ours] - recording.confidences[theirs]) <= kTie);
    ++comparison.tied_commits;
  }
}

// Whether column `column` could as well have been chosen as not among the `keep` largest.
bool IsTied(const float* importances, int32_t count, int32_t keep, int32_t column) {
  std::vector<float> sorted(importances, importances + count);
  std::sort(sorted.begin(), sorted.end(), std::greater<float>());
  const float in = sorted[keep - 1];
  const float out = keep < count ? sorted[keep] : in;
  return in - out <= kTie && std::abs(importances[column] - in) <= kTie;
}

// Compares the pattern just built with the golden's.
void CompareMasks(const engine::Sequence& sequence, const Recording& recording,
                  const GoldenRun& run, Comparison& comparison) {
  const engine::SparsePlan& plan = sequence.plan;
  REQUIRE(plan.block_size == run.block_size);
  REQUIRE(recording.importances.size() == run.block_mask.size());
  const int32_t num_blocks = plan.num_blocks;
  const int32_t canvas_blocks = num_blocks - plan.first_canvas_block;
  for (size_t layer = 0; layer < run.block_mask.size(); ++layer) {
    const kernels::BlockMaskView view = sequence.masks->Layer(0, static_cast<int32_t>(layer));
    const LayerImportance& importance = recording.importances[layer];
    for (int32_t head = 0; head < view.num_heads; ++head) {
      for (int32_t query = 0; query < num_blocks; ++query) {
        const std::string& expected = run.block_mask[layer][head][query];
        REQUIRE(expected.size() == static_cast<size_t>(num_blocks));
        const int64_t row = int64_t{head} * num_blocks + query;
        for (int32_t key = 0; key < num_blocks; ++key) {
          const bool kept = (view.Row(head, query)[key / 64] >> (key % 64) & 1) != 0;
          ++comparison.tiles;
          if (kept == (expected[key] == '1')) continue;
          CAPTURE(layer, head, query, key);
          const int32_t first = plan.first_canvas_block;
          REQUIRE((key < first ? IsTied(importance.all.data() + row * num_blocks, num_blocks,
                                        plan.keep_prompt, key)
                               : IsTied(importance.canvas.data() + row * canvas_blocks,
                                        canvas_blocks, plan.keep_canvas, key - first)));
          ++comparison.tied_tiles;
        }
      }
    }
  }
}

// Runs a golden's request one step at a time, every step from the golden's canvas. Returns the
// canvas to which the engine's own commits lead: where a tie makes them differ from the golden's, a
// step is done from both canvases, until they meet again.
std::vector<int32_t> CompareTrajectory(engine::Engine& engine, Recording& recording,
                                       const GoldenCase& golden, const GoldenRun& run,
                                       Comparison& comparison) {
  const engine::SequenceId id =
      engine.Start(RequestFor(golden.prompt_ids, golden.gen_length, run.steps, run.sparse)).value();
  std::vector<int32_t> canvas(golden.gen_length, engine.model_info().mask_token_id);
  std::vector<int32_t> own = canvas;
  bool same_pattern = true;
  for (int32_t step = 0; step < static_cast<int32_t>(run.trajectory.size()); ++step) {
    CAPTURE(step);
    recording.Clear();
    recording.importances.clear();
    const auto done = engine.Step();
    REQUIRE(done.ok());
    const bool differs = own != canvas;
    if (done->front().kind == engine::StepKind::kSelect) {
      CompareMasks(*engine.Find(id), recording, run, comparison);
      same_pattern = !differs;
    }
    CompareCommits(recording, golden, run.trajectory[step], comparison);
    if (differs && same_pattern) {
      engine.SetCanvasForTest(id, own, step);
      REQUIRE(engine.Step().ok());
      ++comparison.own_steps;
    }
    own = engine.Find(id)->CanvasIds(engine.model_info());
    for (const auto& [index, token] : run.trajectory[step]) canvas[index] = token;
    engine.SetCanvasForTest(id, canvas, step + 1);
    ++comparison.steps;
  }
  const engine::Sequence* sequence = engine.Find(id);
  REQUIRE(sequence->finished);
  REQUIRE((sequence->counts.sparse > 0) == run.sparse);
  REQUIRE(canvas == run.output_ids);
  engine.Remove(id);
  return same_pattern ? own : RunFreely(engine, golden, run);
}

}  // namespace

TEST_CASE("First-step logits are the reference's") {
  Recording recording;
  auto engine = MakeNanoEngine(2048, &recording);
  const double worst = RunFirstSteps(*engine, recording).logit_error;
  std::cout << "first-step logits: largest difference " << worst << "\n";
  REQUIRE(worst <= kLogitTolerance);
}

TEST_CASE("Runs commit what the reference commits, and end in its output") {
  Recording recording;
  auto engine = MakeNanoEngine(2048, &recording);
  const std::vector<GoldenCase> cases = ReadGoldenCases();
  REQUIRE(cases.size() == 6);
  Comparison comparison;
  for (const GoldenCase& golden : cases) {
    REQUIRE(golden.runs.size() == 4);
    REQUIRE(golden.block_length == 32);
    for (const GoldenRun& run : golden.runs) {
      INFO(NameOf(golden, run));
      const int64_t ties_before = comparison.tied_commits;
      REQUIRE(CompareTrajectory(*engine, recording, golden, run, comparison) == run.output_ids);
      std::cout << NameOf(golden, run) << ": " << run.trajectory.size() << " steps, "
                << comparison.tied_commits - ties_before << " tied commits" << std::endl;
    }
  }
  std::cout << "all: " << comparison.steps << " steps, " << comparison.tied_commits
            << " tied commits, " << comparison.tiles << " tiles of block masks, "
            << comparison.tied_tiles << " of them decided by a tie; " << comparison.own_steps
            << " steps also from a canvas of our own\n";
  REQUIRE(comparison.tiles > 0);
}

TEST_CASE("300 requests cancelled at random points leave nothing behind") {
  auto engine = MakeNanoEngine(4096, nullptr);
  const uint64_t base_bytes = engine->backend_info().allocated_bytes;
  std::vector<std::pair<engine::SequenceId, int>> running;  // steps until the cancellation
  uint64_t random = 1;
  const auto next = [&random](uint64_t below) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    return (random >> 33) % below;
  };
  int started = 0;
  while (started < 300 || !running.empty()) {
    while (started < 300 && running.size() < 12) {
      const std::vector<int32_t> prompt(8 + next(56), 20);
      const engine::Request request = RequestFor(prompt, 32, 8, next(3) > 0);
      // The pattern is selected in the third step.
      running.emplace_back(engine->Start(request).value(), static_cast<int>(next(6)));
      ++started;
    }
    for (auto& [id, steps_left] : running) {
      if (steps_left-- == 0) engine->Remove(id);
    }
    running.erase(std::remove_if(running.begin(), running.end(),
                                 [](const auto& entry) { return entry.second < 0; }),
                  running.end());
    REQUIRE(engine->Step().ok());
  }
  REQUIRE(engine->running() == 0);
  REQUIRE(engine->batch_tokens() == 0);
  REQUIRE(engine->mask_cache_bytes() == 0);
  REQUIRE(engine->backend_info().allocated_bytes == base_bytes);
}

}  // namespace sparsed::testing
