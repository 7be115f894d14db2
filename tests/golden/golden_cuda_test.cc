// nano on a GPU against the reference implementation's float32 results. Without a device the cases
// have nothing to run on and say so.
//
// The tolerance is that of a plain implementation in bf16: twice the error that the processor's
// float32 operations make when each result is rounded to bf16. Where the reference's choice and the
// device's lie closer than it allows, either is right: such places are counted and printed.
#include <algorithm>
#include <bit>
#include <cmath>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/golden/golden_compare.h"
#include "tests/golden/golden_data.h"
#include "tests/testing/catch.h"
#include "tests/unit/engine/tiny_engine.h"

namespace sparsed::testing {
namespace {

constexpr int64_t kMaxBatchTokens = 16384;
constexpr int kRepeats = 50;
// Of a query block's importance, as the device computed it, what the reference's pattern may miss
// of the device's own: importances differ by some hundredths in bf16.
constexpr double kMissedMass = 0.1;

// Null where there is no device.
std::unique_ptr<engine::Engine> DeviceEngine(Recording* recording) {
  auto backend = kernels::CreateBackend({"cuda", 0});
  if (backend.ok()) return MakeNanoEngine(std::move(*backend), kMaxBatchTokens, recording);
  WARN(std::string(backend.status().message()));
  return nullptr;
}

FirstSteps OnProcessor(bool rounded) {
  Recording recording;
  auto engine = MakeNanoEngine(2048, &recording);
  if (rounded) recording.round_all_but_cols = engine->model_info().vocab_size;
  return RunFirstSteps(*engine, recording);
}

double LargestDifference(const std::vector<float>& a, const std::vector<float>& b) {
  REQUIRE(a.size() == b.size());
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) largest = std::max(largest, double{std::abs(a[i] - b[i])});
  return largest;
}

struct Tolerance {
  double logits = 0;
  double confidences = 0;
};

Tolerance PlainBf16Tolerance() {
  constexpr double kLeast = 1e-5;
  const FirstSteps plain = OnProcessor(/*rounded=*/true);
  const FirstSteps exact = OnProcessor(/*rounded=*/false);
  return {2 * plain.logit_error + kLeast,
          2 * LargestDifference(plain.confidences, exact.confidences) + kLeast};
}

struct Comparison {
  Tolerance tolerance;
  int64_t steps = 0;
  int64_t commits = 0;
  int64_t tied_commits = 0;
  int64_t tied_tokens = 0;
  int64_t tiles = 0;
  int64_t other_tiles = 0;
  double most_missed_mass = 0;
};

void CompareCommits(const Recording& recording, const GoldenCase& golden,
                    const std::vector<std::pair<int32_t, int32_t>>& expected,
                    Comparison& comparison) {
  REQUIRE(recording.chosen.size() == expected.size());
  for (size_t rank = 0; rank < expected.size(); ++rank) {
    ++comparison.commits;
    const size_t ours = recording.chosen[rank];
    const size_t theirs = SampleOf(recording, golden, expected[rank].first);
    CAPTURE(rank, recording.confidences[ours], recording.confidences[theirs]);
    if (recording.tokens[theirs] != expected[rank].second) {
      // Both logits may be off by the tolerance.
      const std::vector<float>& logits = recording.logits[theirs];
      REQUIRE(logits[recording.tokens[theirs]] - logits[expected[rank].second] <=
              2 * comparison.tolerance.logits);
      ++comparison.tied_tokens;
    }
    if (ours == theirs) continue;
    REQUIRE(std::abs(recording.confidences[ours] - recording.confidences[theirs]) <=
            2 * comparison.tolerance.confidences);
    ++comparison.tied_commits;
  }
}

// What `theirs` misses of the importance that `ours` keeps, as a share of it, over `count` columns.
double MissedMass(uint64_t ours, uint64_t theirs, const float* importances, int32_t count) {
  double kept = 0;
  double missed = 0;
  for (int32_t i = 0; i < count; ++i) {
    const double mass = static_cast<double>(importances[i]);
    if ((ours >> i & 1) != 0) kept += mass;
    missed += mass * (static_cast<int>(ours >> i & 1) - static_cast<int>(theirs >> i & 1));
  }
  return kept > 0 ? missed / kept : 0;
}

// Puts the golden's pattern in the place of the one just built, so that later steps compare like
// with like, and compares the two, the prompt's columns and the canvas's by the importances that
// either was chosen by.
void TakeMasks(const engine::Sequence& sequence, const Recording& recording, const GoldenRun& run,
               Comparison& comparison) {
  REQUIRE(recording.importances.size() == run.block_mask.size());
  const int32_t num_blocks = sequence.plan.num_blocks;
  const int32_t first_canvas = sequence.plan.first_canvas_block;
  const int32_t canvas_blocks = num_blocks - first_canvas;
  const uint64_t prompt_columns = (uint64_t{1} << first_canvas) - 1;
  for (size_t layer = 0; layer < run.block_mask.size(); ++layer) {
    const kernels::BlockMaskView view = sequence.masks->Layer(0, static_cast<int32_t>(layer));
    const LayerImportance& importance = recording.importances[layer];
    REQUIRE(view.WordsPerRow() == 1);
    std::vector<uint64_t> ours(view.Bytes() / 8);
    std::vector<uint64_t> theirs;
    REQUIRE(recording.backend->CopyOut(ours.data(), view.bits, view.Bytes()).ok());
    for (int32_t row = 0; row < view.num_heads * num_blocks; ++row) {
      const std::string& bits = run.block_mask[layer][row / num_blocks][row % num_blocks];
      theirs.push_back(0);
      for (int32_t key = 0; key < num_blocks; ++key) {
        theirs[row] |= uint64_t{bits[key] == '1'} << key;
      }
      comparison.other_tiles += std::popcount(ours[row] ^ theirs[row]);
      const double prompt =
          MissedMass(ours[row] & prompt_columns, theirs[row] & prompt_columns,
                     importance.all.data() + int64_t{row} * num_blocks, num_blocks);
      const double canvas =
          MissedMass(ours[row] >> first_canvas, theirs[row] >> first_canvas,
                     importance.canvas.data() + int64_t{row} * canvas_blocks, canvas_blocks);
      comparison.most_missed_mass = std::max({comparison.most_missed_mass, prompt, canvas});
    }
    comparison.tiles += int64_t{view.num_heads} * num_blocks * num_blocks;
    REQUIRE(recording.backend->CopyIn(view.bits, theirs.data(), view.Bytes()).ok());
  }
}

void CompareTrajectory(engine::Engine& engine, Recording& recording, const GoldenCase& golden,
                       const GoldenRun& run, Comparison& comparison) {
  const engine::SequenceId id =
      engine.Start(RequestFor(golden.prompt_ids, golden.gen_length, run.steps, run.sparse)).value();
  std::vector<int32_t> canvas(golden.gen_length, engine.model_info().mask_token_id);
  for (size_t step = 0; step < run.trajectory.size(); ++step) {
    CAPTURE(step);
    recording.Clear();
    recording.importances.clear();
    const auto done = engine.Step();
    INFO(done.status().ToString());
    REQUIRE(done.ok());
    if (done->front().kind == engine::StepKind::kSelect) {
      TakeMasks(*engine.Find(id), recording, run, comparison);
    }
    CompareCommits(recording, golden, run.trajectory[step], comparison);
    for (const auto& [index, token] : run.trajectory[step]) canvas[index] = token;
    engine.SetCanvasForTest(id, canvas, static_cast<int32_t>(step) + 1);
    ++comparison.steps;
  }
  REQUIRE(engine.Find(id)->finished);
  engine.Remove(id);
}

// One request of every case, with different steps, so that a batch holds steps of all kinds, some
// with guidance.
std::vector<engine::Request> MixedRequests() {
  std::vector<engine::Request> requests;
  for (const GoldenCase& golden : ReadGoldenCases()) {
    for (const bool sparse : {false, true}) {
      engine::Request request =
          RequestFor(golden.prompt_ids, golden.gen_length, golden.gen_length / 2, sparse);
      request.sampling.seed = requests.size();
      request.sampling.temperature = requests.size() % 3 == 0 ? 0.7f : 0.0f;
      request.sampling.cfg_scale = requests.size() % 4 == 3 ? 1.0f : 0.0f;
      request.sparse.block_size = std::vector<int32_t>{32, 64, 128}[requests.size() % 3];
      requests.push_back(request);
    }
  }
  return requests;
}

}  // namespace

TEST_CASE("On the device first-step logits are as near the reference as bf16 allows") {
  Recording recording;
  auto engine = DeviceEngine(&recording);
  if (engine == nullptr) return;
  const Tolerance tolerance = PlainBf16Tolerance();
  const FirstSteps steps = RunFirstSteps(*engine, recording);
  const double confidence_error =
      LargestDifference(steps.confidences, OnProcessor(/*rounded=*/false).confidences);
  std::cout << "first step: largest difference of a logit " << steps.logit_error << ", tolerance "
            << tolerance.logits << "; of a confidence " << confidence_error << ", tolerance "
            << tolerance.confidences << "\n";
  REQUIRE(steps.logit_error <= tolerance.logits);
  REQUIRE(confidence_error <= tolerance.confidences);
}

TEST_CASE("On the device every step of the goldens commits what the reference commits") {
  Recording recording;
  auto engine = DeviceEngine(&recording);
  if (engine == nullptr) return;
  Comparison comparison;
  comparison.tolerance = PlainBf16Tolerance();
  recording.keep_logits = true;
  for (const GoldenCase& golden : ReadGoldenCases()) {
    for (const GoldenRun& run : golden.runs) {
      INFO(NameOf(golden, run));
      CompareTrajectory(*engine, recording, golden, run, comparison);
    }
  }
  const Tolerance& tolerance = comparison.tolerance;
  std::cout << comparison.steps << " steps, " << comparison.commits
            << " commits: " << comparison.tied_commits << " of another position, "
            << comparison.tied_tokens << " of another token, within the tolerances of "
            << tolerance.logits << " (logits), " << tolerance.confidences << " (confidences); of "
            << comparison.tiles << " tiles " << comparison.other_tiles
            << " chosen otherwise, most mass missed " << comparison.most_missed_mass << "\n";
  REQUIRE(comparison.tiles > 0);
  REQUIRE(comparison.most_missed_mass <= kMissedMass);
}

TEST_CASE("On the device select ratio 1 gives the bits of full attention") {
  auto engine = DeviceEngine(nullptr);
  if (engine == nullptr) return;
  for (engine::Request request : MixedRequests()) {
    request.sparse.mode = engine::SparseMode::kOff;
    const engine::Outcome full = engine::RunBatch(*engine, {request}).front();
    request.sparse.mode = engine::SparseMode::kSparseD;
    request.sparse.select = 1.0;
    REQUIRE(engine::RunBatch(*engine, {request}).front() == full);
  }
}

// Of more tokens than one chunk of keys has, so that the last layer's tiles are split.
TEST_CASE("On the device select ratio 1 gives the bits of full attention where keys are split") {
  auto engine = DeviceEngine(nullptr);
  if (engine == nullptr) return;
  REQUIRE(engine->backend_info().splits_keys);
  std::vector<engine::Outcome> alone;
  std::vector<engine::Request> requests;
  for (const int32_t prompt_tokens : {1500, 3000}) {
    for (const float cfg_scale : {0.0f, 1.0f}) {
      engine::Request request = engine::MakeTinyRequest(prompt_tokens, 64, 12, 32);
      request.ids.assign(request.ids.size(), engine->model_info().mask_token_id);
      for (int32_t i = 0; i < prompt_tokens; ++i) request.ids[i] = 6 + (i * 37 + i / 91) % 120;
      request.sampling.seed = requests.size();
      request.sampling.temperature = 0.7f;
      request.sampling.cfg_scale = cfg_scale;
      request.sparse.mode = engine::SparseMode::kOff;
      const engine::Outcome full = engine::RunBatch(*engine, {request}).front();
      request.sparse.mode = engine::SparseMode::kSparseD;
      request.sparse.select = 1.0;
      for (const int32_t block_size : {32, 64, 128}) {
        CAPTURE(prompt_tokens, cfg_scale, block_size);
        request.sparse.block_size = block_size;
        REQUIRE(engine::RunBatch(*engine, {request}).front() == full);
      }
      request.sparse.select = 0.3;
      requests.push_back(request);
      alone.push_back(engine::RunBatch(*engine, {request}).front());
    }
  }
  REQUIRE(engine::RunBatch(*engine, requests) == alone);
}

TEST_CASE("On the device a request gives the same bits alone and in a batch") {
  auto engine = DeviceEngine(nullptr);
  if (engine == nullptr) return;
  std::vector<engine::Request> requests = MixedRequests();
  std::vector<engine::Outcome> alone;
  for (const engine::Request& request : requests) {
    alone.push_back(engine::RunBatch(*engine, {request}).front());
  }
  REQUIRE(engine::RunBatch(*engine, requests) == alone);
  requests = std::vector<engine::Request>(requests.rbegin(), requests.rend());
  std::reverse(alone.begin(), alone.end());
  REQUIRE(engine::RunBatch(*engine, requests) == alone);
}

TEST_CASE("On the device repeated requests give the same bits") {
  auto engine = DeviceEngine(nullptr);
  if (engine == nullptr) return;
  std::vector<engine::Request> requests = MixedRequests();
  for (engine::Request& request : requests) request.sampling.steps = request.canvas.size() / 8;
  const std::vector<engine::Outcome> first = engine::RunBatch(*engine, requests);
  for (int repeat = 1; repeat < kRepeats; ++repeat) {
    CAPTURE(repeat);
    REQUIRE(engine::RunBatch(*engine, requests) == first);
  }
}

}  // namespace sparsed::testing
