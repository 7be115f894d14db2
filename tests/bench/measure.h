// Times and what they are compared with.
#pragma once

#include <cstdint>
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

// The rows that one step computes; see engine::PackedBatch.
struct StepRows {
  double tokens = 0;
  double query_rows = 0;  // of the last layer
  double head_rows = 0;
};

// What a step cannot do without. Floating-point operations, a multiply-add counted as two.
double LinearFlops(const engine::ModelInfo& model, const StepRows& rows);  // without the head
double HeadFlops(const engine::ModelInfo& model, double rows);
// One layer, one sequence: scores and values of the kept share of the tiles.
double AttentionFlops(int32_t num_heads, int32_t head_dim, double tokens, double density);
// Bytes that the operations on single rows read and write: norms, rotation, activation, embedding.
double RowBytes(const engine::ModelInfo& model, const StepRows& rows, double element_bytes);

// What the machine gives today, by the backend's own operations: not the data sheet.
struct MachineRates {
  double product_gflops = 0;
  double copy_gbps = 0;  // bytes read and written; of a GPU only
};
nlohmann::ordered_json ToJson(const MachineRates& rates);

// Of a processor: the fastest packed float32 product over a few large shapes, with all threads. Of
// a GPU: products of 8192 x 8192 x 8192 and copies of half a gigabyte, one after the other for more
// than a second each, so that the clocks are those of long work; medians.
absl::StatusOr<MachineRates> MeasureRates(kernels::Backend& backend);

}  // namespace sparsed::bench
