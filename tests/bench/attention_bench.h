// The attention operation alone.
#pragma once

#include <nlohmann/json.hpp>

#include "absl/status/statusor.h"
#include "engine/model_info.h"
#include "kernels/backend.h"
#include "tests/bench/options.h"

namespace sparsed::bench {

// One layer's attention over random queries, keys and values of the model's shape: full, full with
// selection, and sparse over random patterns of each density, measured in turn. Prints a table.
absl::StatusOr<nlohmann::ordered_json> AttentionBench(const Options& options,
                                                      kernels::Backend& backend,
                                                      const engine::ModelInfo& model,
                                                      int32_t context, double peak_gflops);

}  // namespace sparsed::bench
