// What the comparisons with the goldens share, whatever the device.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "tests/golden/golden_data.h"
#include "tests/golden/recording_backend.h"

namespace sparsed::testing {

std::string NameOf(const GoldenCase& golden, const GoldenRun& run);

// The largest difference between one row of logits and the golden's: of the values at the golden's
// largest, of the log-sum-exp, and of the least of the largest.
double LogitError(const GoldenCase& golden, size_t position, const std::vector<float>& logits);

// The first step of every case, all of the canvas competing.
struct FirstSteps {
  double logit_error = 0;          // the largest
  std::vector<float> confidences;  // of every canvas position, case after case
};
// `recording` is the engine's.
FirstSteps RunFirstSteps(engine::Engine& engine, Recording& recording);

// The recorded sample of a canvas index; its position counts from the sequence's start.
size_t SampleOf(const Recording& recording, const GoldenCase& golden, int32_t canvas_index);

// The canvas of a run that follows its own commits.
std::vector<int32_t> RunFreely(engine::Engine& engine, const GoldenCase& golden,
                               const GoldenRun& run);

}  // namespace sparsed::testing
