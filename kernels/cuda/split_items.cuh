// The items of a split launch: which they are, and what each leaves in the scratch. Device code
// only.
#pragma once

#include "kernels/cuda/key_chunks.h"
#include "kernels/cuda/selection.cuh"

namespace sparsed::kernels::cuda {

struct SplitItem : Item {
  int chunk;  // of the keys
};

__device__ inline SplitItem FindSplitItem(const AttentionLaunch& launch, int index) {
  const AttentionItemRange& s = *FindItem(launch, index).sequence;
  const ChunkItem place =
      ChunkItemAt(index - s.first_item, NumKeyChunks(s.num_tokens), s.num_tiles);
  return {{&s, place.head, s.first_tile + place.query_tile}, place.chunk};
}

// The items of either kind of launch.
template <bool kSplit>
__device__ auto FindItemOf(const AttentionLaunch& launch, int index) {
  if constexpr (kSplit) {
    return FindSplitItem(launch, index);
  } else {
    return FindItem(launch, index);
  }
}

// As key_chunks.h lays it out.
template <int kHeadDim>
struct Partial {
  float* out;   // [kItemRows][kHeadDim], before the division by the sum
  float* base;  // [kItemRows], log2 of what it is relative to; -infinity: nothing was kept
  float* sum;   // [kItemRows], of the probabilities
};

template <int kHeadDim>
__device__ Partial<kHeadDim> PartialOf(const AttentionLaunch& launch, int item) {
  float* const out = launch.scratch + int64_t{item} * launch.scratch_floats;
  return {out, out + kItemRows * kHeadDim, out + kItemRows * (kHeadDim + 1)};
}

// One row, by the four lanes that have it: columns 8 j + 2 (lane % 4) and the next of each are
// pair(j). base and sum: of the whole row.
template <int kHeadDim, typename Pair>
__device__ void StorePartialRow(const Partial<kHeadDim>& partial, int row, int lane, float base,
                                float sum, Pair pair) {
  if (lane % 4 == 0) {
    partial.base[row] = base;
    partial.sum[row] = sum;
  }
  float* const out = partial.out + row * kHeadDim + lane % 4 * 2;
#pragma unroll
  for (int j = 0; j < kHeadDim / 8; ++j) *reinterpret_cast<float2*>(out + 8 * j) = pair(j);
}

}  // namespace sparsed::kernels::cuda
