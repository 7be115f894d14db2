// What the CPU operations share: argument checks, and the way to a row.
#pragma once

#include "absl/status/status.h"
#include "kernels/tensor_view.h"

namespace sparsed::kernels {

// INVALID_ARGUMENT, naming `op` and `name`, unless `view` is float32, rows x cols, with a stride of
// at least its columns.
absl::Status CheckF32(const char* op, const char* name, const TensorView& view, int64_t rows,
                      int64_t cols);

absl::Status ShapeError(const char* op, const char* what);

// A row of a view that passed CheckF32.
inline float* RowOf(const TensorView& view, int64_t row) {
  return static_cast<float*>(view.data) + row * view.stride;
}

}  // namespace sparsed::kernels

#define SPARSED_KERNEL_CHECK(expression)                      \
  do {                                                        \
    if (absl::Status status_ = (expression); !status_.ok()) { \
      return status_;                                         \
    }                                                         \
  } while (false)
