// The CUDA backend's use of memory, in numbers that need no CUDA.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sparsed::kernels::cuda {

inline constexpr int32_t kRowAlignment = 64;
inline constexpr size_t kGemmWorkspaceBytes = 64u << 20;
// Of a select launch, and of a split one.
inline constexpr size_t kAttentionScratchBytes = 160u << 20;
inline constexpr int64_t kColumnMultiple = 8;  // of a weight

// A packed weight is bf16 [out, in].
constexpr size_t PackedBytes(int64_t out_features, int64_t in_features) {
  return static_cast<size_t>(out_features * in_features) * 2;
}

}  // namespace sparsed::kernels::cuda
