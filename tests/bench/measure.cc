#include "tests/bench/measure.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <memory>
#include <numeric>
#include <random>
#include <utility>

#include "engine/status_macros.h"
#include "engine/step_times.h"
#include "kernels/half.h"

namespace sparsed::bench {
namespace {

struct ProductShape {
  int64_t rows;
  int64_t in;
  int64_t out;
  double Flops() const { return 2.0 * rows * in * out; }
};
constexpr ProductShape kCpuShapes[] = {{1024, 1024, 1024}, {1024, 1024, 4096}, {2048, 512, 2048}};
constexpr ProductShape kGpuShape = {8192, 8192, 8192};
constexpr int kCpuRepeat = 5;
constexpr double kGpuWarmUpSeconds = 0.4;
constexpr double kGpuSeconds = 1.0;
constexpr int kIssuedAtOnce = 16;

// Elements in (-1, 1), as the backend computes with them; they repeat after a million or so.
std::vector<char> RandomElements(int64_t count, kernels::DType dtype) {
  constexpr int64_t kDistinct = 1'000'003;
  std::mt19937 random(1);
  std::uniform_real_distribution<float> uniform(-1, 1);
  const size_t size = kernels::DTypeBytes(dtype);
  std::vector<char> values(count * size);
  for (int64_t i = 0; i < std::min(count, kDistinct); ++i) {
    const float value = uniform(random);
    const uint16_t rounded = kernels::RoundToBF16(value);
    std::memcpy(values.data() + i * size,
                size == 2 ? static_cast<const void*>(&rounded) : static_cast<const void*>(&value),
                size);
  }
  for (int64_t done = kDistinct; done < count; done += kDistinct) {
    std::memcpy(values.data() + done * size, values.data(),
                std::min(kDistinct, count - done) * size);
  }
  return values;
}

// One product, ready to run.
struct Product {
  std::unique_ptr<kernels::LinearWeight> weight;
  kernels::Buffer x_memory;
  kernels::Buffer out_memory;
  kernels::TensorView x;
  kernels::TensorView out;
};

absl::StatusOr<Product> MakeProduct(kernels::Backend& backend, const ProductShape& shape) {
  const kernels::DType dtype = backend.Info().activation_dtype;
  const int64_t size = static_cast<int64_t>(kernels::DTypeBytes(dtype));
  const std::vector<char> weight = RandomElements(shape.in * shape.out, dtype);
  const std::vector<char> input = RandomElements(shape.rows * shape.in, dtype);
  const kernels::HostMatrix matrix = {weight.data(), dtype, shape.out, shape.in};
  Product product;
  SPARSED_ASSIGN_OR_RETURN(product.weight, backend.PackLinear(std::span(&matrix, 1), {}));
  SPARSED_ASSIGN_OR_RETURN(product.x_memory, backend.Alloc(input.size()));
  SPARSED_ASSIGN_OR_RETURN(product.out_memory, backend.Alloc(shape.rows * shape.out * size));
  SPARSED_RETURN_IF_ERROR(backend.CopyIn(product.x_memory.data(), input.data(), input.size()));
  product.x = {product.x_memory.data(), dtype, shape.rows, shape.in, shape.in};
  product.out = {product.out_memory.data(), dtype, shape.rows, shape.out, shape.out};
  return product;
}

// Seconds of one run of `issue`, of which `at_once` are issued before the device is waited for.
absl::StatusOr<double> TimeOnce(kernels::Backend& backend, int at_once,
                                const std::function<absl::Status()>& issue) {
  double seconds = 0;
  engine::Stopwatch watch;
  for (int i = 0; i < at_once; ++i) SPARSED_RETURN_IF_ERROR(issue());
  SPARSED_RETURN_IF_ERROR(backend.Sync());
  watch.Lap(seconds);
  return seconds / at_once;
}

// The median after a warm-up, over more than a second.
absl::StatusOr<double> TimeSustained(kernels::Backend& backend,
                                     const std::function<absl::Status()>& issue) {
  std::vector<double> samples;
  double elapsed = 0;
  while (elapsed <= kGpuWarmUpSeconds + kGpuSeconds) {
    SPARSED_ASSIGN_OR_RETURN(const double seconds, TimeOnce(backend, kIssuedAtOnce, issue));
    elapsed += seconds * kIssuedAtOnce;
    if (elapsed > kGpuWarmUpSeconds) samples.push_back(seconds);
  }
  return Summarize(std::move(samples)).median;
}

absl::StatusOr<double> CopySeconds(kernels::Backend& backend, int64_t rows, int64_t cols) {
  const kernels::DType dtype = backend.Info().activation_dtype;
  const size_t bytes = rows * cols * kernels::DTypeBytes(dtype);
  std::vector<int32_t> order(rows);
  std::iota(order.begin(), order.end(), 0);
  SPARSED_ASSIGN_OR_RETURN(const kernels::Buffer from, backend.Alloc(bytes));
  SPARSED_ASSIGN_OR_RETURN(const kernels::Buffer to, backend.Alloc(bytes));
  SPARSED_ASSIGN_OR_RETURN(const kernels::Buffer index, backend.Alloc(rows * sizeof(int32_t)));
  SPARSED_RETURN_IF_ERROR(backend.CopyIn(index.data(), order.data(), index.bytes()));
  return TimeSustained(backend, [&] {
    return backend.GatherRows({to.data(), dtype, rows, cols, cols},
                              {from.data(), dtype, rows, cols, cols}, index.as<int32_t>());
  });
}

absl::StatusOr<MachineRates> MeasureGpu(kernels::Backend& backend) {
  MachineRates rates;
  constexpr int64_t kCopyRows = 32768;
  constexpr int64_t kCopyCols = 8192;
  SPARSED_ASSIGN_OR_RETURN(const double copy, CopySeconds(backend, kCopyRows, kCopyCols));
  const size_t element = kernels::DTypeBytes(backend.Info().activation_dtype);
  rates.copy_gbps = 2e-9 * kCopyRows * kCopyCols * static_cast<double>(element) / copy;
  SPARSED_ASSIGN_OR_RETURN(const Product product, MakeProduct(backend, kGpuShape));
  SPARSED_ASSIGN_OR_RETURN(const double seconds, TimeSustained(backend, [&] {
                             return backend.Linear(product.out, product.x, *product.weight,
                                                   /*accumulate=*/false);
                           }));
  rates.product_gflops = 1e-9 * kGpuShape.Flops() / seconds;
  return rates;
}

absl::StatusOr<MachineRates> MeasureCpu(kernels::Backend& backend) {
  MachineRates rates;
  for (const ProductShape& shape : kCpuShapes) {
    SPARSED_ASSIGN_OR_RETURN(const Product product, MakeProduct(backend, shape));
    for (int i = 0; i <= kCpuRepeat; ++i) {
      SPARSED_ASSIGN_OR_RETURN(const double seconds, TimeOnce(backend, 1, [&] {
                                 return backend.Linear(product.out, product.x, *product.weight,
                                                       /*accumulate=*/false);
                               }));
      rates.product_gflops = std::max(rates.product_gflops, 1e-9 * shape.Flops() / seconds);
    }
  }
  return rates;
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

nlohmann::ordered_json ToJson(const MachineRates& rates) {
  nlohmann::ordered_json json = {{"product_gflops", rates.product_gflops}};
  if (rates.copy_gbps > 0) json["copy_gbps"] = rates.copy_gbps;
  return json;
}

namespace {

// Of what a row goes through: the experts it takes count together.
double FeedForwardWidth(const engine::ModelInfo& model, int32_t layer) {
  return model.HasExperts(layer) ? double{1} * model.experts.per_row * model.experts.ffn_size
                                 : double{1} * model.ffn_size;
}

}  // namespace

double LinearFlops(const engine::ModelInfo& model, const StepRows& rows) {
  const double hidden = model.hidden_size;
  const double q = double{1} * model.num_heads * model.head_dim;
  const double kv = double{1} * model.num_kv_heads * model.head_dim;
  double products = 0;
  for (int32_t layer = 0; layer < model.num_layers; ++layer) {
    const double router = model.HasExperts(layer) ? hidden * model.experts.count : 0;
    const double rest = hidden * q + 3 * hidden * FeedForwardWidth(model, layer) + router;
    products +=
        layer + 1 < model.num_layers
            ? rows.tokens * (hidden * (q + 2 * kv) + rest)
            : rows.tokens * hidden * 2 * kv + rows.query_rows * hidden * q + rows.head_rows * rest;
  }
  return 2 * products;
}

double HeadFlops(const engine::ModelInfo& model, double rows) {
  return 2 * rows * model.hidden_size * model.vocab_size;
}

double AttentionFlops(int32_t num_heads, int32_t head_dim, double tokens, double density) {
  return 4 * tokens * tokens * num_heads * head_dim * density;
}

double RowBytes(const engine::ModelInfo& model, const StepRows& rows, double element_bytes) {
  const double hidden = model.hidden_size;
  const double q = double{1} * model.num_heads * model.head_dim;
  const double kv = double{1} * model.num_kv_heads * model.head_dim;
  const double norm = 2 * hidden;
  const double turned = model.qk_norm ? 4 : 2;  // queries and keys: rotated, and normed before
  double elements = rows.tokens * 2 * hidden;   // the embedding
  for (int32_t layer = 0; layer < model.num_layers; ++layer) {
    // With experts: the rows gathered for them, and the sum of their results.
    const double experts = model.HasExperts(layer) ? (3.0 * model.experts.per_row + 2) * hidden : 0;
    const double activation = 3 * FeedForwardWidth(model, layer) + experts;
    elements += layer + 1 < model.num_layers
                    ? rows.tokens * (2 * norm + turned * (q + kv) + activation)
                    : rows.tokens * (norm + turned * kv) + rows.query_rows * turned * q +
                          rows.head_rows * (2 * norm + activation);
  }
  return element_bytes * elements;
}

absl::StatusOr<MachineRates> MeasureRates(kernels::Backend& backend) {
  return backend.Info().device == "cpu" ? MeasureCpu(backend) : MeasureGpu(backend);
}

}  // namespace sparsed::bench
