#include "tests/bench/measure.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <random>

#include "engine/status_macros.h"
#include "engine/step_times.h"

namespace sparsed::bench {
namespace {

struct ProductShape {
  int64_t rows;
  int64_t in;
  int64_t out;
};
constexpr ProductShape kPeakShapes[] = {{1024, 1024, 1024}, {1024, 1024, 4096}, {2048, 512, 2048}};

std::vector<float> RandomFloats(int64_t count) {
  std::mt19937 random(1);
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::vector<float> values(count);
  for (float& value : values) value = uniform(random);
  return values;
}

// Seconds of the fastest of `repeat` products.
absl::StatusOr<double> FastestProduct(kernels::Backend& backend, const ProductShape& shape,
                                      int repeat) {
  const std::vector<float> weight = RandomFloats(shape.in * shape.out);
  const std::vector<float> input = RandomFloats(shape.rows * shape.in);
  const kernels::HostMatrix matrix = {weight.data(), kernels::DType::kF32, shape.out, shape.in};
  SPARSED_ASSIGN_OR_RETURN(const std::unique_ptr<kernels::LinearWeight> packed,
                           backend.PackLinear(std::span(&matrix, 1)));
  SPARSED_ASSIGN_OR_RETURN(const kernels::Buffer x, backend.Alloc(input.size() * sizeof(float)));
  SPARSED_ASSIGN_OR_RETURN(const kernels::Buffer y,
                           backend.Alloc(shape.rows * shape.out * sizeof(float)));
  SPARSED_RETURN_IF_ERROR(backend.CopyIn(x.data(), input.data(), x.bytes()));
  const kernels::TensorView in = {x.data(), kernels::DType::kF32, shape.rows, shape.in, shape.in};
  const kernels::TensorView out = {y.data(), kernels::DType::kF32, shape.rows, shape.out,
                                   shape.out};
  double fastest = std::numeric_limits<double>::infinity();
  for (int i = 0; i <= repeat; ++i) {
    double seconds = 0;
    engine::Stopwatch watch;
    SPARSED_RETURN_IF_ERROR(backend.Linear(out, in, *packed, /*accumulate=*/false));
    SPARSED_RETURN_IF_ERROR(backend.Sync());
    watch.Lap(seconds);
    fastest = std::min(fastest, seconds);
  }
  return fastest;
}

}  // namespace

Summary Summarize(std::vector<double> samples) {
  Summary summary;
  if (samples.empty()) return summary;
  std::sort(samples.begin(), samples.end());
  const auto quantile = [&](double share) {
    return samples[std::lround(share * static_cast<double>(samples.size() - 1))];
  };
  summary.median = quantile(0.5);
  summary.p10 = quantile(0.1);
  summary.p90 = quantile(0.9);
  summary.count = static_cast<int>(samples.size());
  return summary;
}

nlohmann::ordered_json ToJson(const Summary& summary) {
  return {{"median", summary.median},
          {"p10", summary.p10},
          {"p90", summary.p90},
          {"count", summary.count}};
}

double LinearFlops(const engine::ModelInfo& model, double rows) {
  const double hidden = model.hidden_size;
  const double kv = double{1} * model.num_kv_heads * model.head_dim;
  const double weights = 2 * hidden * hidden + 2 * hidden * kv + 3 * hidden * model.ffn_size;
  return 2 * rows * weights * model.num_layers;
}

double HeadFlops(const engine::ModelInfo& model, double rows) {
  return 2 * rows * model.hidden_size * model.vocab_size;
}

double AttentionFlops(int32_t num_heads, int32_t head_dim, double tokens, double density) {
  return 4 * tokens * tokens * num_heads * head_dim * density;
}

absl::StatusOr<double> MeasurePeakGflops(kernels::Backend& backend, int repeat) {
  double peak = 0;
  for (const ProductShape& shape : kPeakShapes) {
    SPARSED_ASSIGN_OR_RETURN(const double seconds, FastestProduct(backend, shape, repeat));
    peak = std::max(peak, 2e-9 * shape.rows * shape.in * shape.out / seconds);
  }
  return peak;
}

}  // namespace sparsed::bench
