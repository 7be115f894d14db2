// SampleRows and CommitRows.

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/shape_check.h"
#include "kernels/rng.h"

namespace sparsed::kernels {
namespace {

void GuideLogits(float* cond, const float* uncond, float cfg_scale, int64_t vocab) {
  for (int64_t v = 0; v < vocab; ++v) {
    cond[v] = uncond[v] + (cfg_scale + 1.0f) * (cond[v] - uncond[v]);
  }
}

// The token with the largest l - T ln(-ln u), in double precision as the reference; a 128-bit block
// of random numbers serves two neighbouring tokens.
int32_t GumbelArgmax(const float* logits, int64_t vocab, const SampleRow& row) {
  double best = -std::numeric_limits<double>::infinity();
  int64_t token = 0;
  PhiloxBlock bits = {};
  for (int64_t v = 0; v < vocab; ++v) {
    const size_t half = static_cast<size_t>(v % 2) * 2;
    if (half == 0) {
      bits = RandomBits(row.seed, row.step, row.position, static_cast<uint32_t>(v / 2),
                        RandomStream::kGumbel);
    }
    const double u = OpenUniform(bits[half], bits[half + 1]);
    const double value = static_cast<double>(logits[v]) -
                         static_cast<double>(row.temperature) * std::log(-std::log(u));
    if (value > best) {
      best = value;
      token = v;
    }
  }
  return static_cast<int32_t>(token);
}

float RandomConfidence(const SampleRow& row) {
  const PhiloxBlock bits =
      RandomBits(row.seed, row.step, row.position, 0, RandomStream::kConfidence);
  return static_cast<float>(bits[0] >> 8) * 0x1p-24f;
}

void SampleOne(const VectorOps& ops, float* logits, int64_t vocab, const SampleRow& row,
               int32_t* token, float* confidence) {
  const RowMaximum max = ops.row_max(logits, vocab);
  *token = row.temperature > 0
               ? GumbelArgmax(logits, vocab, row)
               : static_cast<int32_t>(std::find(logits, logits + vocab, max.value) - logits);
  if (*token >= vocab) *token = 0;  // no number in the row at all
  if (max.has_nan != 0) {
    *confidence = std::numeric_limits<float>::quiet_NaN();
  } else if (row.rule == ConfidenceRule::kRandom) {
    *confidence = RandomConfidence(row);
  } else {
    *confidence = std::exp(logits[*token] - max.value) / ops.sum_exp(logits, max.value, vocab);
  }
}

absl::Status CheckSampleRow(const SampleRow& row, const TensorView& logits) {
  if (row.row < 0 || row.row >= logits.rows)
    return ShapeError("SampleRows", "row outside of logits");
  if (row.uncond_row >= logits.rows)
    return ShapeError("SampleRows", "uncond_row outside of logits");
  if (!(row.temperature >= 0)) return ShapeError("SampleRows", "temperature must be at least 0");
  return absl::OkStatus();
}

}  // namespace

absl::Status CpuBackend::SampleRows(TensorView logits, std::span<const SampleRow> rows,
                                    int32_t* tokens, float* confidences) {
  SPARSED_KERNEL_CHECK(CheckF32("SampleRows", "logits", logits, logits.rows, logits.cols));
  if (logits.cols <= 0) return ShapeError("SampleRows", "empty vocabulary");
  for (const SampleRow& row : rows) SPARSED_KERNEL_CHECK(CheckSampleRow(row, logits));
  float* data = static_cast<float*>(logits.data);
  pool_.Run(static_cast<int64_t>(rows.size()), [&](int64_t i, int) {
    const SampleRow& row = rows[static_cast<size_t>(i)];
    float* cond = data + row.row * logits.stride;
    if (row.uncond_row >= 0) {
      GuideLogits(cond, data + row.uncond_row * logits.stride, row.cfg_scale, logits.cols);
    }
    SampleOne(ops_, cond, logits.cols, row, tokens + i, confidences + i);
  });
  return absl::OkStatus();
}

absl::Status CpuBackend::CommitRows(const float* confidences, std::span<const CommitGroup> groups,
                                    int32_t* chosen) {
  std::vector<int32_t> order;
  for (const CommitGroup& group : groups) {
    if (group.first < 0 || group.keep < 0 || group.keep > group.count) {
      return ShapeError("CommitRows", "keep must be in [0, count]");
    }
    order.resize(static_cast<size_t>(group.count));
    std::iota(order.begin(), order.end(), group.first);
    // A NaN ranks below every number, so that the order stays total.
    const auto rank = [confidences](int32_t row) {
      const float value = confidences[row];
      return std::isnan(value) ? -std::numeric_limits<float>::infinity() : value;
    };
    std::partial_sort(
        order.begin(), order.begin() + group.keep, order.end(),
        [&rank](int32_t a, int32_t b) { return rank(a) != rank(b) ? rank(a) > rank(b) : a < b; });
    chosen = std::copy_n(order.begin(), group.keep, chosen);
  }
  return absl::OkStatus();
}

}  // namespace sparsed::kernels
