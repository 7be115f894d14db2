// The engine and the requests that the step and the generate benchmark run.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "engine/engine.h"
#include "tests/bench/options.h"

namespace sparsed::bench {

absl::StatusOr<std::unique_ptr<kernels::Backend>> MakeBackend(const Options& options);

// The model's numbers, without its weights.
absl::StatusOr<engine::ModelInfo> ReadModelInfo(const Options& options);

// A backend with the model, its workspace large enough for the longest context and the batch.
absl::StatusOr<std::unique_ptr<engine::Engine>> MakeEngine(const Options& options);

// The request number `index` of a batch: `context` tokens, prompt ids random or the given ones.
// Every canvas position is computed. Deterministic.
engine::Request MakeBenchRequest(const Options& options, const engine::ModelInfo& model,
                                 int32_t context, int index);

}  // namespace sparsed::bench
