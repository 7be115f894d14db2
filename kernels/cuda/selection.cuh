// The work items of an attention launch, and how a select launch turns the mass that each query row
// gave each key block into patterns. Shared by the attention kernels. Device code only.
#pragma once

#include "kernels/cuda/launch.h"
#include "kernels/cuda/mma_sm80.cuh"
#include "kernels/cuda/pattern.cuh"

namespace sparsed::kernels::cuda {

constexpr int kItemRows = 128;  // query rows of an item
constexpr float kNegativeInfinity = -__builtin_huge_valf();

struct Item {
  const AttentionItemRange* sequence;
  int head;
  int tile;  // of the sequence, 128 rows
};

__device__ inline Item FindItem(const AttentionLaunch& launch, int index) {
  int s = 0;
  while (s + 1 < launch.num_sequences && launch.sequences[s + 1].first_item <= index) ++s;
  const AttentionItemRange& sequence = launch.sequences[s];
  const int local = index - sequence.first_item;
  return {&sequence, local / sequence.num_tiles, sequence.first_tile + local % sequence.num_tiles};
}

__device__ inline float LogAdd2(float a, float b) {
  const float high = fmaxf(a, b);
  if (high == kNegativeInfinity) return high;
  return high + log2f(Exp2(a - high) + Exp2(b - high));
}

// Sums over a quad, one a lane: lane 0 of first[0], lane 1 of second[0], lane 2 of first[1], lane 3
// of second[1].
__device__ inline float QuadSumOfFour(const float (&first)[2], const float (&second)[2], int lane) {
  const bool odd = lane & 1;
  const bool high = lane & 2;
  float sums[2];
#pragma unroll
  for (int b = 0; b < 2; ++b) {
    const float other = __shfl_xor_sync(0xffffffffu, odd ? first[b] : second[b], 1);
    sums[b] = (odd ? second[b] : first[b]) + other;
  }
  return (high ? sums[1] : sums[0]) + __shfl_xor_sync(0xffffffffu, high ? sums[0] : sums[1], 2);
}

// log2 of the row's mass over blocks [first, n).
__device__ inline float RowMass(const float* scratch, int row, int first, int n) {
  constexpr int kUnroll = 4;
  float high = kNegativeInfinity;
#pragma unroll kUnroll
  for (int j = first; j < n; ++j) high = fmaxf(high, scratch[j * kItemRows + row]);
  if (high == kNegativeInfinity) return 0;
  float sum = 0;
#pragma unroll kUnroll
  for (int j = first; j < n; ++j) sum += Exp2(scratch[j * kItemRows + row] - high);
  return high + log2f(sum);
}

// What Select works with. scratch: log2 of the mass, [block][kItemRows]; if has_row_mass, one more
// line with each row's mass over all blocks. row_mass, values: shared, kItemRows floats and the
// importances. thread: of the kThreads that take part, whole warps.
struct SelectSpace {
  const float* scratch;
  bool has_row_mass;
  float* row_mass;
  float* values;
  int thread;
};

// Importances of the item's query blocks, side by side in space.values: [query block][n - first].
template <int kThreads, typename Barrier>
__device__ void Importances(const AttentionItemRange& s, const Item& item, int first,
                            const SelectSpace& space, Barrier barrier) {
  const int lane = space.thread % 32;
  const int n = s.num_blocks;
  const int rows = min(kItemRows, s.num_tokens - item.tile * kItemRows);
  barrier();
#pragma unroll 1
  for (int row = space.thread; row < kItemRows; row += kThreads) {
    // A row that does not exist has infinite mass: nothing is a share of it.
    float mass = -kNegativeInfinity;
    if (row < rows) {
      mass = space.has_row_mass && first == 0 ? space.scratch[n * kItemRows + row]
                                              : RowMass(space.scratch, row, first, n);
    }
    space.row_mass[row] = mass;
  }
  barrier();
  // A lane has four neighbouring rows; the lanes of one query block are neighbours, eight or more.
  // Four key blocks at a time: of every four lanes each ends with the sum of one.
  const int lanes = s.block_size / 4;
  const float inverse_area = 1.0f / (static_cast<float>(s.block_size) * s.block_size);  // exact
  const float4 total = reinterpret_cast<const float4*>(space.row_mass)[lane];
#pragma unroll 1
  for (int base = first + space.thread / 32 * 4; base < n; base += kThreads / 32 * 4) {
    float sums[4];
#pragma unroll
    for (int u = 0; u < 4; ++u) {
      const int j = min(base + u, n - 1);
      const float4 mass = reinterpret_cast<const float4*>(space.scratch + j * kItemRows)[lane];
      sums[u] = Exp2(mass.x - total.x) + Exp2(mass.y - total.y) + Exp2(mass.z - total.z) +
                Exp2(mass.w - total.w);
    }
    float sum = QuadSumOfFour({sums[0], sums[2]}, {sums[1], sums[3]}, lane);
    for (int d = 4; d < lanes; d *= 2) sum += __shfl_xor_sync(0xffffffffu, sum, d);
    const int j = base + lane % 4;
    if (lane % lanes < 4 && j < n) {
      space.values[(lane / lanes) * (n - first) + j - first] = sum * inverse_area;
    }
  }
  barrier();
}

// Of the best columns of all (side 0) or of the canvas side (1).
__device__ inline int KeptColumns(const AttentionItemRange& s, int head, int side) {
  if (s.head_counts != nullptr) return s.head_counts[2 * head + side];
  return side == 0 ? s.keep_prompt : s.keep_canvas;
}

// Builds the patterns of the item's query blocks. barrier: of the kThreads that take part.
template <int kThreads, typename Barrier>
__device__ void Select(const AttentionItemRange& s, const Item& item, const SelectSpace& space,
                       Barrier barrier) {
  const int lane = space.thread % 32;
  const int n = s.num_blocks;
  const int words = (n + 63) / 64;
  const int first_block = item.tile * kItemRows / s.block_size;
  const int blocks = min(kItemRows / s.block_size, n - first_block);
  // Importances are copied out as rows of the blocks asked for.
  const int first_asked = s.first_tile * kItemRows / s.block_size;
  const int asked = min(s.num_tiles * kItemRows / s.block_size, n - first_asked);
#pragma unroll 1  // as most loops here: registers are few beside the Hopper kernel's consumers
  for (int side = 0; side < 2; ++side) {
    const int first = side == 0 ? 0 : s.first_canvas_block;
    if (first == n) break;  // there is no canvas side
    Importances<kThreads>(s, item, first, space, barrier);
    float* copy = side == 0 ? s.importance : s.canvas_importance;
#pragma unroll 1
    for (int block = space.thread / 32; block < blocks; block += kThreads / 32) {
      const int64_t row = static_cast<int64_t>(item.head) * n + first_block + block;
      const float* row_values = space.values + block * (n - first);
      const int keep = KeptColumns(s, item.head, side);
      uint64_t* mask = s.mask + row * words;
      if (side == 0) {
        for (int w = lane; w < words; w += 32) mask[w] = 0;
        __syncwarp();
        MarkLargest(row_values, n, keep, 0, s.first_canvas_block, mask, lane);
      } else {
        MarkLargest(row_values, n - first, keep, first, n, mask, lane);
      }
      if (copy != nullptr) {
#pragma unroll 1
        for (int j = lane; j < n - first; j += 32) {
          const int64_t copy_row =
              static_cast<int64_t>(item.head) * asked + first_block - first_asked + block;
          copy[copy_row * (n - first) + j] = row_values[j];
        }
      }
    }
  }
  barrier();
}

}  // namespace sparsed::kernels::cuda
