// The online softmax of the Hopper kernel: what a consumer warpgroup does with a tile's scores, all
// in registers. A thread holds two rows, 8 apart (wgmma_sm90.cuh). Device code only.
#pragma once

#include "kernels/cuda/selection.cuh"
#include "kernels/cuda/tile_walk.cuh"

namespace sparsed::kernels::cuda {

// The running state of a warpgroup's 64 rows.
template <int kHeadDim>
struct Rows {
  float out[kHeadDim / 2];
  float max[2];
  float sum[2];       // of this thread's columns
  float mass_sum[2];  // the same for the selection's exponent, where that is not 1
};

// The selection mass of this thread's columns of a tile, for each row, in so many parts: 1, 2 or
// 4. Fewer leave registers to the rest.
template <int kParts>
struct TileMass {
  float part[2][kParts];
};

// What a select item needs at every tile, read once: kernel arguments are slow to reach.
struct MassStore {
  float* scratch;  // [block][row], at the thread's first row
  int per_tile;    // attention blocks of a tile
  int num_blocks;
  float scale;  // of the running maximum: the attention's times the selection's ratio
};

// Blanks the keys that do not exist and the groups that the warp's query block drops.
__device__ inline void Blank(float (&s)[64], int first_missing, uint32_t groups, int lane) {
#pragma unroll
  for (int j = 0; j < 16; ++j) {
    const bool kept = (groups >> (j / 4)) & 1;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (!kept || j * 8 + (lane % 4) * 2 + i % 2 >= first_missing)
        s[4 * j + i] = kNegativeInfinity;
    }
  }
}

__device__ inline float QuadMax(float v) {
  v = fmaxf(v, __shfl_xor_sync(0xffffffffu, v, 1));
  return fmaxf(v, __shfl_xor_sync(0xffffffffu, v, 2));
}
__device__ inline float QuadSum(float v) {
  v += __shfl_xor_sync(0xffffffffu, v, 1);
  return v + __shfl_xor_sync(0xffffffffu, v, 2);
}

__device__ inline float FourSum(const float (&v)[4]) { return (v[0] + v[1]) + (v[2] + v[3]); }

// Part `b` of kBlocks equal ones of `parts`.
template <int kBlocks, int kParts>
__device__ float PartSum(const float (&parts)[kParts], int b) {
  static_assert(kBlocks <= kParts && kParts <= 4);
  if constexpr (kBlocks == kParts) {
    return parts[b];
  } else if constexpr (kBlocks * 2 == kParts) {
    return parts[2 * b] + parts[2 * b + 1];
  } else {
    return (parts[0] + parts[1]) + (parts[2] + parts[3]);
  }
}

// groups: of the tile's four groups of 32 keys.
template <int kParts>
__device__ void KeepMass(TileMass<kParts>& mass, int row, const float (&groups)[4]) {
#pragma unroll
  for (int b = 0; b < kParts; ++b) mass.part[row][b] = PartSum<kParts>(groups, b);
}

// s becomes the probabilities p relative to the new maximum; rescale is what the old ones need.
// mass: of p or of its square; PowerMass has the rest. The sum of p is taken in the same order
// whatever the mass, so that a select step gives the bits of a full one.
template <Mass kMass, int kHeadDim, int kParts>
__device__ void Softmax(Rows<kHeadDim>& rows, float (&s)[64], float scale, float (&rescale)[2],
                        TileMass<kParts>& mass) {
  // The two rows side by side, the maxima in two chains each: alone on its scheduler, a warp waits
  // for every instruction that needs the one before.
  float tile_max[2][2] = {{s[0], s[2]}, {s[4], s[6]}};
#pragma unroll
  for (int j = 0; j < 16; ++j) {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      tile_max[j % 2][r] = fmaxf(tile_max[j % 2][r], fmaxf(s[4 * j + 2 * r], s[4 * j + 2 * r + 1]));
    }
  }
  const float high[2] = {fmaxf(tile_max[0][0], tile_max[1][0]),
                         fmaxf(tile_max[0][1], tile_max[1][1])};
  float base[2];
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const float new_max = fmaxf(rows.max[r], QuadMax(high[r]));
    base[r] = new_max == kNegativeInfinity ? 0 : new_max * scale;
    rescale[r] = Exp2(rows.max[r] * scale - base[r]);
    rows.max[r] = new_max;
  }
  float sum[2][4] = {};
  float power[2][4] = {};
#pragma unroll
  for (int j = 0; j < 16; ++j) {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
#pragma unroll
      for (int i = 4 * j + 2 * r; i < 4 * j + 2 * r + 2; ++i) {
        s[i] = Exp2(s[i] * scale - base[r]);
        sum[r][j / 4] += s[i];
        if constexpr (kMass == Mass::kSquare) power[r][j / 4] += s[i] * s[i];
      }
    }
  }
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    rows.sum[r] = rows.sum[r] * rescale[r] + FourSum(sum[r]);
    if constexpr (kMass == Mass::kSquare) {
      rows.mass_sum[r] = rows.mass_sum[r] * rescale[r] * rescale[r] + FourSum(power[r]);
    }
    if constexpr (kMass == Mass::kPlain) KeepMass(mass, r, sum[r]);
    if constexpr (kMass == Mass::kSquare) KeepMass(mass, r, power[r]);
  }
}

// Mass::kPower, after Softmax: two more special functions an element, but no more registers.
template <int kHeadDim, int kParts>
__device__ void PowerMass(Rows<kHeadDim>& rows, const float (&p)[64], float ratio,
                          const float (&rescale)[2], TileMass<kParts>& mass) {
  const auto power = [ratio](float x) { return Exp2(ratio * Log2(x)); };
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    float groups[4] = {};
#pragma unroll
    for (int j = 0; j < 16; ++j) {
      groups[j / 4] += power(p[4 * j + 2 * r]) + power(p[4 * j + 2 * r + 1]);
    }
    rows.mass_sum[r] = rows.mass_sum[r] * power(rescale[r]) + FourSum(groups);
    KeepMass(mass, r, groups);
  }
}

// Probabilities as the register operand of the value products.
__device__ inline void Pack(uint32_t (&p)[8][4], const float (&s)[64]) {
#pragma unroll
  for (int step = 0; step < 8; ++step) {
#pragma unroll
    for (int i = 0; i < 4; ++i) p[step][i] = PackBf16(s[8 * step + 2 * i], s[8 * step + 2 * i + 1]);
  }
}

// The output follows the new maximum.
template <int kHeadDim>
__device__ void Rescale(Rows<kHeadDim>& rows, const float (&rescale)[2]) {
#pragma unroll
  for (int j = 0; j < kHeadDim / 8; ++j) {
    rows.out[4 * j] *= rescale[0];
    rows.out[4 * j + 1] *= rescale[0];
    rows.out[4 * j + 2] *= rescale[1];
    rows.out[4 * j + 3] *= rescale[1];
  }
}

// Of a quad's two rows: the odd lanes sum the second one, the even lanes the first.
__device__ inline float QuadSumOfTwo(float first, float second, int lane) {
  const bool odd = lane & 1;
  float mine = odd ? second : first;
  mine += __shfl_xor_sync(0xffffffffu, odd ? first : second, 1);
  return mine + __shfl_xor_sync(0xffffffffu, mine, 2);
}

template <int kBlocks, int kParts>
__device__ void StoreMassOf(const TileMass<kParts>& mass, float base, const MassStore& store,
                            int tile, int lane) {
  float* const column = store.scratch + (lane & 1) * 8;
  const int first_block = tile * kBlocks;
  if constexpr (kBlocks == 1) {
    const float sum = QuadSumOfTwo(PartSum<1>(mass.part[0], 0), PartSum<1>(mass.part[1], 0), lane);
    if ((lane & 2) == 0) __stcs(column + first_block * kItemRows, base + Log2(sum));
  } else {
#pragma unroll
    for (int b = 0; b < kBlocks; b += 2) {
      const float first[2] = {PartSum<kBlocks>(mass.part[0], b),
                              PartSum<kBlocks>(mass.part[0], b + 1)};
      const float second[2] = {PartSum<kBlocks>(mass.part[1], b),
                               PartSum<kBlocks>(mass.part[1], b + 1)};
      const float sum = QuadSumOfFour(first, second, lane);
      const int block = first_block + b + (lane & 2) / 2;
      if (block < store.num_blocks) __stcs(column + block * kItemRows, base + Log2(sum));
    }
  }
}

// Stores log2 of the selection mass of the tile's attention blocks for the thread's two rows.
// max: the running maxima that the probabilities of the tile are relative to.
template <int kParts>
__device__ void StoreMass(const TileMass<kParts>& mass, const float (&max)[2],
                          const MassStore& store, int tile, int lane) {
  const float base = (lane & 1 ? max[1] : max[0]) * store.scale;
  if (kParts == 1 || store.per_tile == 1) {
    StoreMassOf<1>(mass, base, store, tile, lane);
  } else if constexpr (kParts == 2) {
    StoreMassOf<2>(mass, base, store, tile, lane);
  } else if constexpr (kParts == 4) {
    if (store.per_tile == 2) {
      StoreMassOf<2>(mass, base, store, tile, lane);
    } else {
      StoreMassOf<4>(mass, base, store, tile, lane);
    }
  }
}

// log2 of the whole mass of the thread's two rows, behind the blocks of the scratch.
template <Mass kMass, int kHeadDim>
__device__ void StoreRowMass(const Rows<kHeadDim>& rows, const MassStore& store, int lane) {
  const float sum = kMass == Mass::kPlain ? QuadSumOfTwo(rows.sum[0], rows.sum[1], lane)
                                          : QuadSumOfTwo(rows.mass_sum[0], rows.mass_sum[1], lane);
  const float base = (lane & 1 ? rows.max[1] : rows.max[0]) * store.scale;
  if ((lane & 2) == 0) {
    store.scratch[store.num_blocks * kItemRows + (lane & 1) * 8] = base + Log2(sum);
  }
}

}  // namespace sparsed::kernels::cuda
