#include "tests/golden/golden_compare.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "tests/testing/catch.h"

namespace sparsed::testing {
namespace {

double LogSumExp(const std::vector<float>& logits) {
  const float largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - largest);
  return largest + std::log(sum);
}

}  // namespace

std::string NameOf(const GoldenCase& golden, const GoldenRun& run) {
  return golden.task + ", " + std::to_string(run.steps) + " steps, " +
         (run.sparse ? "SparseD 0.3" : "full");
}

double LogitError(const GoldenCase& golden, size_t position, const std::vector<float>& logits) {
  double error = std::abs(LogSumExp(logits) - golden.logsumexp[position]);
  const std::vector<int32_t>& ids = golden.top_ids[position];
  for (size_t i = 0; i < ids.size(); ++i) {
    error = std::max(error, std::abs(double{logits[ids[i]]} - golden.top_logits[position][i]));
  }
  // No other id may have come into the top.
  std::vector<float> sorted = logits;
  std::nth_element(sorted.begin(), sorted.begin() + ids.size() - 1, sorted.end(),
                   std::greater<float>());
  const double last_of_top = sorted[ids.size() - 1];
  return std::max(error, std::abs(last_of_top - golden.top_logits[position].back()));
}

size_t SampleOf(const Recording& recording, const GoldenCase& golden, int32_t canvas_index) {
  const uint32_t position = static_cast<uint32_t>(golden.prompt_ids.size()) + canvas_index;
  const auto found =
      std::find_if(recording.samples.begin(), recording.samples.end(),
                   [position](const kernels::SampleRow& row) { return row.position == position; });
  REQUIRE(found != recording.samples.end());
  return found - recording.samples.begin();
}

FirstSteps RunFirstSteps(engine::Engine& engine, Recording& recording) {
  recording.keep_logits = true;
  FirstSteps steps;
  for (const GoldenCase& golden : ReadGoldenCases()) {
    engine::Request request =
        RequestFor(golden.prompt_ids, golden.gen_length, golden.gen_length, false);
    request.sampling.block_length = golden.gen_length;  // so that all of the canvas competes
    const engine::SequenceId id = engine.Start(request).value();
    recording.Clear();
    REQUIRE(engine.Step().ok());
    engine.Remove(id);
    REQUIRE(recording.logits.size() == static_cast<size_t>(golden.gen_length));
    for (size_t position = 0; position < recording.logits.size(); ++position) {
      steps.logit_error =
          std::max(steps.logit_error, LogitError(golden, position, recording.logits[position]));
    }
    steps.confidences.insert(steps.confidences.end(), recording.confidences.begin(),
                             recording.confidences.end());
  }
  recording.keep_logits = false;
  return steps;
}

std::vector<int32_t> RunFreely(engine::Engine& engine, const GoldenCase& golden,
                               const GoldenRun& run) {
  const engine::SequenceId id =
      engine.Start(RequestFor(golden.prompt_ids, golden.gen_length, run.steps, run.sparse)).value();
  while (!engine.Find(id)->finished) REQUIRE(engine.Step().ok());
  const std::vector<int32_t> canvas = engine.Find(id)->CanvasIds(engine.model_info());
  engine.Remove(id);
  return canvas;
}

}  // namespace sparsed::testing
