// The pattern of one query block: its best columns as bits. One warp a row of importances.
#pragma once

#include <cstdint>

namespace sparsed::kernels::cuda {

// A threshold between values[0, n), all >= 0, of which `keep` are no smaller, or, where ties make
// that impossible, the keep-th largest itself: as unsigned integers the bit patterns of
// non-negative floats order as the floats do. Whole warp; 1 <= keep <= n.
__device__ inline uint32_t Threshold(const float* values, int n, int keep, int lane) {
  // The bits that all values share need no trial.
  uint32_t high = 0;
  uint32_t low = 0xffffffffu;
  for (int i = lane; i < n; i += 32) {
    high = max(high, __float_as_uint(values[i]));
    low = min(low, __float_as_uint(values[i]));
  }
  high = __reduce_max_sync(0xffffffffu, high);
  low = __reduce_min_sync(0xffffffffu, low);
  const int shared_bits = __clz(static_cast<int>(high ^ low));
  if (shared_bits == 32) return high;
  uint32_t threshold = high & ~(0xffffffffu >> shared_bits);
#pragma unroll 1
  for (int bit = 31 - shared_bits; bit >= 0; --bit) {
    const uint32_t trial = threshold | (1u << bit);
    unsigned own = 0;
    for (int i = lane; i < n; i += 32) own += __float_as_uint(values[i]) >= trial ? 1 : 0;
    const int count = static_cast<int>(__reduce_add_sync(0xffffffffu, own));
    if (count >= keep) threshold = trial;
    if (count == keep) break;
  }
  return threshold;
}

// Sets in row[] the bits first + i of the `keep` largest values (ties to the lower i), but none at
// or above `limit`. Whole warp. row must be zero in the range beforehand.
__device__ inline void MarkLargest(const float* values, int n, int keep, int first, int limit,
                                   uint64_t* row, int lane) {
  const uint32_t threshold = Threshold(values, n, keep, lane);
  int above = 0;
  for (int i = lane; i < n; i += 32) above += __float_as_uint(values[i]) > threshold ? 1 : 0;
  int ties_left =
      keep - static_cast<int>(__reduce_add_sync(0xffffffffu, static_cast<unsigned>(above)));
  uint32_t* words = reinterpret_cast<uint32_t*>(row);
#pragma unroll 1
  for (int base = 0; base < n; base += 32) {
    const int i = base + lane;
    const uint32_t bits = i < n ? __float_as_uint(values[i]) : 0;
    const bool is_above = i < n && bits > threshold;
    const bool is_tie = i < n && bits == threshold;
    const uint32_t ties = __ballot_sync(0xffffffffu, is_tie);
    const int rank = __popc(ties & ((1u << lane) - 1));
    const bool chosen = (is_above || (is_tie && rank < ties_left)) && first + i < limit;
    ties_left -= min(ties_left, __popc(ties));
    const uint32_t kept = __ballot_sync(0xffffffffu, chosen);
    if (lane == 0 && kept != 0) {
      const int position = first + base;
      const uint64_t shifted = static_cast<uint64_t>(kept) << (position % 32);
      // Nobody else writes here; a reduction does not wait for the word, as reading it would.
      atomicOr(&words[position / 32], static_cast<uint32_t>(shifted));
      if (shifted >> 32 != 0) {
        atomicOr(&words[position / 32 + 1], static_cast<uint32_t>(shifted >> 32));
      }
    }
  }
}

}  // namespace sparsed::kernels::cuda
