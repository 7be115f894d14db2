// Views as the kernels take them: bf16, in pieces of 16 bytes.
#pragma once

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kernels/cuda/launch.h"
#include "kernels/tensor_view.h"

namespace sparsed::kernels::cuda {

inline Bf16* AsBf16(const TensorView& view) { return static_cast<Bf16*>(view.data); }

inline absl::Status CheckBf16(const char* op, const char* name, const TensorView& view) {
  if (view.dtype != DType::kBF16) {
    return absl::InvalidArgumentError(absl::StrCat(op, ": ", name, " must be bf16 on a GPU"));
  }
  if (view.cols % 8 != 0 || view.stride % 8 != 0) {
    return absl::InvalidArgumentError(absl::StrCat(op, ": ", name, " has ", view.cols,
                                                   " columns and stride ", view.stride,
                                                   "; multiples of 8 are supported"));
  }
  return absl::OkStatus();
}

#define SPARSED_CHECK_BF16(op, view)                                                      \
  do {                                                                                    \
    if (absl::Status sparsed_status = CheckBf16(op, #view, view); !sparsed_status.ok()) { \
      return sparsed_status;                                                              \
    }                                                                                     \
  } while (false)

}  // namespace sparsed::kernels::cuda
