// Host matrices of any float type to float32, exactly.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/half.h"
#include "kernels/tensor_view.h"

namespace sparsed::kernels {

// dst[i] = src[i] for `count` elements; src may be unaligned. dtype: kF32, kF16 or kBF16.
void WidenElements(const void* src, DType dtype, int64_t count, float* dst);

// Rows [first, first + count) of `parts` stacked below one another, as dst [count, cols].
void WidenStackedRows(std::span<const HostMatrix> parts, int64_t first, int64_t count, float* dst);

}  // namespace sparsed::kernels
