// Whole generations.
#pragma once

#include <nlohmann/json.hpp>

#include "absl/status/statusor.h"
#include "engine/engine.h"
#include "tests/bench/options.h"

namespace sparsed::bench {

// Generates options.batch sequences at once, options.repeat times, and prints a table. The digest
// in the result is of the output ids: equal wherever the tokens are equal. Errors: INTERNAL where
// two repetitions disagree, and as the engine's.
absl::StatusOr<nlohmann::ordered_json> GenerateBench(const Options& options, engine::Engine& engine,
                                                     int32_t context);

}  // namespace sparsed::bench
