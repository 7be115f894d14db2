// Embed, RmsNorm, Rope, SiluMul, GatherRows: row by row, each row on one thread.

#include <algorithm>
#include <cstring>

#include "kernels/cpu/convert.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/shape_check.h"

namespace sparsed::kernels {
namespace {

// Work for one thread in floats: waking a sleeping thread costs about as long as this takes.
constexpr int64_t kGrainFloats = 32768;

int64_t GrainRows(int64_t cols) {
  return std::max<int64_t>(1, kGrainFloats / std::max<int64_t>(1, cols));
}

}  // namespace

absl::Status CpuBackend::Embed(TensorView out, TensorView table, const int32_t* ids) {
  SPARSED_KERNEL_CHECK(CheckF32("Embed", "out", out, out.rows, table.cols));
  if (table.dtype == DType::kI32) return ShapeError("Embed", "table must hold floats");
  for (int64_t t = 0; t < out.rows; ++t) {
    if (ids[t] < 0 || ids[t] >= table.rows) return ShapeError("Embed", "id outside of the table");
  }
  const int64_t row_bytes = table.stride * static_cast<int64_t>(DTypeBytes(table.dtype));
  pool_.RunRanges(out.rows, GrainRows(out.cols), [&](int64_t first, int64_t last, int) {
    for (int64_t t = first; t < last; ++t) {
      WidenElements(static_cast<const char*>(table.data) + ids[t] * row_bytes, table.dtype,
                    out.cols, RowOf(out, t));
    }
  });
  return absl::OkStatus();
}

absl::Status CpuBackend::RmsNorm(TensorView out, TensorView x, const float* weight, float eps) {
  SPARSED_KERNEL_CHECK(CheckF32("RmsNorm", "x", x, out.rows, out.cols));
  SPARSED_KERNEL_CHECK(CheckF32("RmsNorm", "out", out, out.rows, out.cols));
  pool_.RunRanges(out.rows, GrainRows(out.cols), [&](int64_t first, int64_t last, int) {
    for (int64_t t = first; t < last; ++t) {
      ops_.rms_norm(RowOf(out, t), RowOf(x, t), weight, eps, out.cols);
    }
  });
  return absl::OkStatus();
}

absl::Status CpuBackend::Rope(TensorView x, const int32_t* positions, const float* cos_sin,
                              int32_t head_dim) {
  SPARSED_KERNEL_CHECK(CheckF32("Rope", "x", x, x.rows, x.cols));
  if (head_dim <= 0 || head_dim % 2 != 0 || x.cols % head_dim != 0) {
    return ShapeError("Rope", "head_dim must be even and divide the columns of x");
  }
  pool_.RunRanges(x.rows, GrainRows(x.cols), [&](int64_t first, int64_t last, int) {
    for (int64_t t = first; t < last; ++t) {
      const float* angles = cos_sin + int64_t{positions[t]} * head_dim;
      for (int64_t c = 0; c < x.cols; c += head_dim) ops_.rope(RowOf(x, t) + c, angles, head_dim);
    }
  });
  return absl::OkStatus();
}

absl::Status CpuBackend::SiluMul(TensorView out, TensorView gate_up) {
  SPARSED_KERNEL_CHECK(CheckF32("SiluMul", "gate_up", gate_up, out.rows, 2 * out.cols));
  SPARSED_KERNEL_CHECK(CheckF32("SiluMul", "out", out, out.rows, out.cols));
  pool_.RunRanges(out.rows, GrainRows(2 * out.cols), [&](int64_t first, int64_t last, int) {
    for (int64_t t = first; t < last; ++t) {
      const float* gate = RowOf(gate_up, t);
      ops_.silu_mul(RowOf(out, t), gate, gate + out.cols, out.cols);
    }
  });
  return absl::OkStatus();
}

absl::Status CpuBackend::GatherRows(TensorView out, TensorView x, const int32_t* rows) {
  SPARSED_KERNEL_CHECK(CheckF32("GatherRows", "out", out, out.rows, x.cols));
  SPARSED_KERNEL_CHECK(CheckF32("GatherRows", "x", x, x.rows, x.cols));
  for (int64_t r = 0; r < out.rows; ++r) {
    if (rows[r] < 0 || rows[r] >= x.rows) return ShapeError("GatherRows", "row outside of x");
    std::memcpy(RowOf(out, r), RowOf(x, rows[r]), static_cast<size_t>(x.cols) * sizeof(float));
  }
  return absl::OkStatus();
}

}  // namespace sparsed::kernels
