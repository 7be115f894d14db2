// Times and what they are compared with.
#pragma once

#include <nlohmann/json.hpp>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/model_info.h"
#include "kernels/backend.h"

namespace sparsed::bench {

// Of a set of samples; quantiles by the nearest rank.
struct Summary {
  double median = 0;
  double p10 = 0;
  double p90 = 0;
  int count = 0;
};
Summary Summarize(std::vector<double> samples);
nlohmann::ordered_json ToJson(const Summary& summary);

// Floating-point operations, a multiply-add counted as two.
double LinearFlops(const engine::ModelInfo& model, double rows);  // all layers, without the head
double HeadFlops(const engine::ModelInfo& model, double rows);
// One layer, one sequence, scores and values of the kept share of the tiles.
double AttentionFlops(int32_t num_heads, int32_t head_dim, double tokens, double density);

// The machine's float32 peak in GFLOP/s: the fastest packed product over a few large shapes, each
// repeated, by Backend::PackLinear and Backend::Linear. It is a measured peak, with all the
// backend's threads, not the data sheet's.
absl::StatusOr<double> MeasurePeakGflops(kernels::Backend& backend, int repeat);

}  // namespace sparsed::bench
