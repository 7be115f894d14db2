// HeadNorm, RouteExperts, GroupedLinear, SumExperts: what the rows of a layer with experts go
// through. Each row on one thread; the products of one expert after those of another.

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/shape_check.h"

namespace sparsed::kernels {
namespace {

// Work for one thread, in rows: waking a sleeping thread costs about as long as this takes.
constexpr int64_t kGrainRows = 16;

// Marks the `count` largest of `values`, ties to the lower index.
void MarkLargest(const float* values, int64_t size, int32_t count, std::vector<char>& marked) {
  marked.assign(static_cast<size_t>(size), 0);
  for (int32_t i = 0; i < count; ++i) {
    int64_t best = -1;
    for (int64_t e = 0; e < size; ++e) {
      if (marked[e] == 0 && (best < 0 || values[e] > values[best])) best = e;
    }
    marked[best] = 1;
  }
}

// The chosen experts of one row, ascending, and their shares of the softmax over all.
void RouteRow(const float* logits, int64_t experts, int32_t per_row, std::vector<char>& marked,
              int32_t* chosen, float* weights) {
  MarkLargest(logits, experts, per_row, marked);
  const float largest = *std::max_element(logits, logits + experts);
  float sum = 0;
  for (int64_t e = 0; e < experts; ++e) sum += std::exp(logits[e] - largest);
  for (int64_t e = 0; e < experts; ++e) {
    if (marked[e] == 0) continue;
    *chosen++ = static_cast<int32_t>(e);
    *weights++ = std::exp(logits[e] - largest) / sum;
  }
}

}  // namespace

absl::Status CpuBackend::HeadNorm(TensorView x, const float* weight, float eps, int32_t head_dim) {
  SPARSED_KERNEL_CHECK(CheckF32("HeadNorm", "x", x, x.rows, x.cols));
  if (head_dim <= 0 || x.cols % head_dim != 0) {
    return ShapeError("HeadNorm", "head_dim must divide the columns of x");
  }
  pool_.RunRanges(x.rows, kGrainRows, [&](int64_t first, int64_t last, int) {
    for (int64_t t = first; t < last; ++t) {
      for (int64_t c = 0; c < x.cols; c += head_dim) {
        ops_.rms_norm(RowOf(x, t) + c, RowOf(x, t) + c, weight, eps, head_dim);
      }
    }
  });
  return absl::OkStatus();
}

absl::Status CpuBackend::RouteExperts(TensorView logits, int32_t per_row,
                                      const ExpertRouting& routing) {
  const int64_t experts = logits.cols;
  SPARSED_KERNEL_CHECK(CheckF32("RouteExperts", "logits", logits, logits.rows, experts));
  if (per_row < 1 || per_row > experts) {
    return ShapeError("RouteExperts", "per_row must be in [1, experts]");
  }
  // The experts of each row stand in `slots` until their slots are known.
  pool_.RunRanges(logits.rows, kGrainRows, [&](int64_t first, int64_t last, int) {
    std::vector<char> marked;
    for (int64_t t = first; t < last; ++t) {
      RouteRow(RowOf(logits, t), experts, per_row, marked, routing.slots + t * per_row,
               routing.weights + t * per_row);
    }
  });
  const int64_t num_slots = logits.rows * per_row;
  std::fill_n(routing.first_slots, experts + 1, 0);
  for (int64_t i = 0; i < num_slots; ++i) ++routing.first_slots[routing.slots[i] + 1];
  for (int64_t e = 0; e < experts; ++e) routing.first_slots[e + 1] += routing.first_slots[e];
  std::vector<int32_t> next(routing.first_slots, routing.first_slots + experts);
  for (int64_t i = 0; i < num_slots; ++i) {
    const int32_t slot = next[static_cast<size_t>(routing.slots[i])]++;
    routing.slots[i] = slot;
    routing.rows[slot] = static_cast<int32_t>(i / per_row);
  }
  return absl::OkStatus();
}

absl::Status CpuBackend::GroupedLinear(TensorView out, TensorView x,
                                       std::span<const std::unique_ptr<LinearWeight>> weights,
                                       const int32_t* first_slots) {
  if (first_slots[0] != 0 || first_slots[weights.size()] != x.rows || x.rows != out.rows) {
    return ShapeError("GroupedLinear", "the slots are not the rows of x and out");
  }
  if (!std::is_sorted(first_slots, first_slots + weights.size() + 1)) {
    return ShapeError("GroupedLinear", "the slots do not ascend");
  }
  for (size_t e = 0; e < weights.size(); ++e) {
    const int64_t first = first_slots[e];
    const int64_t count = first_slots[e + 1] - first;
    if (count == 0) continue;
    SPARSED_KERNEL_CHECK(
        Linear(out.Rows(first, count), x.Rows(first, count), *weights[e], /*accumulate=*/false));
  }
  return absl::OkStatus();
}

absl::Status CpuBackend::SumExperts(TensorView out, TensorView x, const ExpertRouting& routing,
                                    int32_t per_row) {
  SPARSED_KERNEL_CHECK(CheckF32("SumExperts", "out", out, out.rows, out.cols));
  SPARSED_KERNEL_CHECK(CheckF32("SumExperts", "x", x, out.rows * per_row, out.cols));
  pool_.RunRanges(out.rows, kGrainRows, [&](int64_t first, int64_t last, int) {
    std::vector<float> sum(static_cast<size_t>(out.cols));
    for (int64_t t = first; t < last; ++t) {
      std::fill(sum.begin(), sum.end(), 0.0f);
      for (int64_t i = t * per_row; i < (t + 1) * per_row; ++i) {
        const float* from = RowOf(x, routing.slots[i]);
        const float weight = routing.weights[i];
        for (int64_t c = 0; c < out.cols; ++c) sum[c] += weight * from[c];
      }
      float* to = RowOf(out, t);
      for (int64_t c = 0; c < out.cols; ++c) to[c] += sum[c];
    }
  });
  return absl::OkStatus();
}

}  // namespace sparsed::kernels
