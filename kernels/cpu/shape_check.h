// Argument checks shared by the CPU operations.
#pragma once

#include "absl/status/status.h"
#include "kernels/tensor_view.h"

namespace sparsed::kernels {

// INVALID_ARGUMENT, naming `op` and `name`, unless `view` is float32, rows x cols, with a stride of
// at least its columns.
absl::Status CheckF32(const char* op, const char* name, const TensorView& view, int64_t rows,
                      int64_t cols);

absl::Status ShapeError(const char* op, const char* what);

}  // namespace sparsed::kernels

#define SPARSED_KERNEL_CHECK(expression)                      \
  do {                                                        \
    if (absl::Status status_ = (expression); !status_.ok()) { \
      return status_;                                         \
    }                                                         \
  } while (false)
