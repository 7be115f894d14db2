// One denoising step by kind and by part.
#pragma once

#include <nlohmann/json.hpp>

#include "absl/status/statusor.h"
#include "engine/engine.h"
#include "tests/bench/measure.h"
#include "tests/bench/options.h"

namespace sparsed::bench {

// Runs short generations of a full, a full+select and a sparse step in turn, so that the kinds are
// measured side by side, and prints a table. Steps come from the beginning of a decoding block,
// where the head computes the most rows. rates: what shares and bounds are taken of.
absl::StatusOr<nlohmann::ordered_json> StepBench(const Options& options, engine::Engine& engine,
                                                 int32_t context, const MachineRates& rates);

}  // namespace sparsed::bench
