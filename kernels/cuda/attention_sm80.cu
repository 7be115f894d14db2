// Attention with mma.sync for compute capability 8.0 and newer: full, full + select and sparse in
// one walk over 64-key tiles. It is the portable path and the oracle of the Hopper kernel.
//
// A block of 8 warps owns an item, 128 query rows of one head; a warp owns 16 rows, which lie in
// one attention block of any size, so that the mask is uniform within a warp. A tile that no query
// block of the item keeps is never loaded; a warp whose query block drops it does no arithmetic.
// Since a dropped tile leaves the online softmax untouched, a mask that keeps everything gives the
// bits of full attention. In a split launch an item is one chunk of the keys too, and leaves its
// rows in the scratch.
#include "kernels/cuda/launch.h"
#include "kernels/cuda/mma_sm80.cuh"
#include "kernels/cuda/selection.cuh"
#include "kernels/cuda/split_items.cuh"

namespace sparsed::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kRows = kItemRows;
constexpr int kKeys = 64;  // of a tile

template <int kHeadDim>
struct Layout {
  static constexpr int kChunks = kHeadDim / 8;  // 16-byte pieces of a row
  static constexpr int kQueryBytes = kRows * kHeadDim * 2;
  static constexpr int kTileBytes = kKeys * kHeadDim * 2;
  static constexpr int kBytes = kQueryBytes + 4 * kTileBytes;
};

// Byte offset of 16-byte piece `chunk` of `row`: XOR swizzle, so that 8 rows hit 8 bank groups.
template <int kHeadDim>
__device__ uint32_t Swizzled(int row, int chunk) {
  return static_cast<uint32_t>((row * Layout<kHeadDim>::kChunks + (chunk ^ (row & 7))) * 16);
}

// Rows [first, first + kCount) of one head to shared memory, zeros from row `limit` on.
template <int kHeadDim, int kCount>
__device__ void LoadRows(uint32_t shared, const Bf16* base, int64_t stride, int first, int limit) {
  constexpr int kChunks = Layout<kHeadDim>::kChunks;
  for (int i = threadIdx.x; i < kCount * kChunks; i += kThreads) {
    const int row = i / kChunks;
    const int chunk = i % kChunks;
    const bool valid = first + row < limit;
    const Bf16* source = base + static_cast<int64_t>(valid ? first + row : 0) * stride + chunk * 8;
    CopyAsync16(shared + Swizzled<kHeadDim>(row, chunk), source, valid);
  }
}

// Whether query block `block` keeps tile `tile`: bit 0 for its first 32 keys, bit 1 for the others.
__device__ int KeptHalves(const AttentionItemRange& s, int head, int block, int tile) {
  if (s.mode != 2) return 3;
  const uint64_t* row =
      s.mask + (static_cast<int64_t>(head) * s.num_blocks + block) * ((s.num_blocks + 63) / 64);
  if (s.block_size == 32) {
    const int column = tile * 2;
    return static_cast<int>(row[column / 64] >> (column % 64)) & 3;
  }
  const int column = tile * kKeys / s.block_size;
  return (row[column / 64] >> (column % 64)) & 1 ? 3 : 0;
}

// The next tile >= from that any query block of the item keeps, or end_tile.
__device__ int NextTile(const AttentionItemRange& s, const Item& item, int from, int end_tile) {
  if (s.mode != 2) return from;
  const int first = item.tile * kRows / s.block_size;
  const int last = min((item.tile * kRows + kRows - 1) / s.block_size, s.num_blocks - 1);
  for (int tile = from; tile < end_tile; ++tile) {
    for (int block = first; block <= last; ++block) {
      if (KeptHalves(s, item.head, block, tile) != 0) return tile;
    }
  }
  return end_tile;
}

// The running state of a warp's 16 rows; index 0 is row lane / 4, index 1 row lane / 4 + 8.
template <int kHeadDim>
struct Rows {
  float out[kHeadDim / 8][4];
  float max[2];
  float sum[2];  // of this thread's columns
};

__device__ float QuadMax(float v) {
  v = fmaxf(v, __shfl_xor_sync(0xffffffffu, v, 1));
  return fmaxf(v, __shfl_xor_sync(0xffffffffu, v, 2));
}
__device__ float QuadSum(float v) {
  v += __shfl_xor_sync(0xffffffffu, v, 1);
  return v + __shfl_xor_sync(0xffffffffu, v, 2);
}

template <int kHeadDim>
__device__ void Scores(float (&s)[8][4], uint32_t query, uint32_t keys, int warp, int lane) {
#pragma unroll
  for (int n = 0; n < 8; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) s[n][i] = 0;
  }
#pragma unroll
  for (int step = 0; step < kHeadDim / 16; ++step) {
    uint32_t a[4];
    LoadMatrix4(a, query + Swizzled<kHeadDim>(warp * 16 + lane % 16, step * 2 + lane / 16));
#pragma unroll
    for (int n = 0; n < 4; ++n) {
      uint32_t b[4];
      const int row = n * 16 + lane % 8 + (lane / 16) * 8;
      LoadMatrix4(b, keys + Swizzled<kHeadDim>(row, step * 2 + (lane / 8) % 2));
      MmaBf16(s[2 * n], a, b[0], b[1]);
      MmaBf16(s[2 * n + 1], a, b[2], b[3]);
    }
  }
}

template <int kHeadDim>
__device__ void AddValues(Rows<kHeadDim>& rows, const float (&p)[8][4], uint32_t values, int lane) {
#pragma unroll
  for (int step = 0; step < 4; ++step) {
    const uint32_t a[4] = {PackBf16(p[2 * step][0], p[2 * step][1]),
                           PackBf16(p[2 * step][2], p[2 * step][3]),
                           PackBf16(p[2 * step + 1][0], p[2 * step + 1][1]),
                           PackBf16(p[2 * step + 1][2], p[2 * step + 1][3])};
#pragma unroll
    for (int n = 0; n < kHeadDim / 16; ++n) {
      uint32_t b[4];
      LoadMatrix4Transposed(b,
                            values + Swizzled<kHeadDim>(step * 16 + lane % 16, n * 2 + lane / 16));
      MmaBf16(rows.out[2 * n], a, b[0], b[1]);
      MmaBf16(rows.out[2 * n + 1], a, b[2], b[3]);
    }
  }
}

// Online softmax of one tile: s becomes the probabilities relative to the new maximum.
template <int kHeadDim>
__device__ void Softmax(Rows<kHeadDim>& rows, float (&s)[8][4], float scale) {
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    float tile_max = kNegativeInfinity;
#pragma unroll
    for (int n = 0; n < 8; ++n) tile_max = fmaxf(tile_max, fmaxf(s[n][2 * r], s[n][2 * r + 1]));
    const float new_max = fmaxf(rows.max[r], QuadMax(tile_max));
    const float base = new_max == kNegativeInfinity ? 0 : new_max * scale;
    const float rescale = Exp2(rows.max[r] * scale - base);
    rows.max[r] = new_max;
    float sum = 0;
#pragma unroll
    for (int n = 0; n < 8; ++n) {
#pragma unroll
      for (int i = 2 * r; i < 2 * r + 2; ++i) {
        s[n][i] = Exp2(s[n][i] * scale - base);
        sum += s[n][i];
      }
    }
    rows.sum[r] = rows.sum[r] * rescale + sum;
#pragma unroll
    for (int n = 0; n < kHeadDim / 8; ++n) {
      rows.out[n][2 * r] *= rescale;
      rows.out[n][2 * r + 1] *= rescale;
    }
  }
}

// Stores log2 of the selection mass of each attention block that ends with this tile, for the
// warp's 16 rows: scratch[block][row]. `carry` joins the two tiles of a 128-key block.
__device__ void StoreMass(const float (&p)[8][4], const float (&max)[2], float scale, float ratio,
                          const AttentionItemRange& s, int tile, int num_tiles, int warp, int lane,
                          float (&carry)[2], float* scratch) {
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    float half[2] = {0, 0};
#pragma unroll
    for (int n = 0; n < 8; ++n) {
#pragma unroll
      for (int i = 2 * r; i < 2 * r + 2; ++i) {
        half[n / 4] += ratio == 1.0f ? p[n][i] : exp2f(ratio * log2f(p[n][i]));
      }
    }
    half[0] = QuadSum(half[0]);
    half[1] = QuadSum(half[1]);
    const float base = max[r] * scale * ratio;
    const int row = warp * 16 + lane / 4 + 8 * r;
    if (s.block_size == 32) {
      if (lane % 4 == 0) {
        scratch[(2 * tile) * kRows + row] = base + log2f(half[0]);
        if (2 * tile + 1 < s.num_blocks)
          scratch[(2 * tile + 1) * kRows + row] = base + log2f(half[1]);
      }
      continue;
    }
    float mass = base + log2f(half[0] + half[1]);
    if (s.block_size == 128) {
      if (tile % 2 == 1) mass = LogAdd2(carry[r], mass);
      carry[r] = mass;
      if (tile % 2 == 0 && tile + 1 < num_tiles) continue;
    }
    if (lane % 4 == 0) scratch[(tile * kKeys / s.block_size) * kRows + row] = mass;
  }
}

template <int kHeadDim>
__device__ void StoreRows(const Rows<kHeadDim>& rows, const AttentionLaunch& launch,
                          const Item& item, int warp, int lane) {
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const float total = QuadSum(rows.sum[r]);
    const float inverse = total > 0 ? 1.0f / total : 0.0f;
    const int row = item.tile * kRows + warp * 16 + lane / 4 + 8 * r;
    if (row >= item.sequence->end_token) continue;
    Bf16* out = launch.out +
                (static_cast<int64_t>(item.sequence->query_row) + row) * launch.out_stride +
                item.head * kHeadDim + (lane % 4) * 2;
#pragma unroll
    for (int n = 0; n < kHeadDim / 8; ++n) {
      *reinterpret_cast<uint32_t*>(out + n * 8) =
          PackBf16(rows.out[n][2 * r] * inverse, rows.out[n][2 * r + 1] * inverse);
    }
  }
}

// The same in a split launch: relative to the maximum and before the division, to the scratch.
template <int kHeadDim>
__device__ void StorePartial(const Rows<kHeadDim>& rows, const Partial<kHeadDim>& partial,
                             float scale, int warp, int lane) {
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    StorePartialRow(partial, warp * 16 + lane / 4 + 8 * r, lane, rows.max[r] * scale,
                    QuadSum(rows.sum[r]), [&](int n) {
                      return float2{rows.out[n][2 * r], rows.out[n][2 * r + 1]};
                    });
  }
}

template <int kHeadDim, bool kSelect, bool kSplit>
__global__ void __launch_bounds__(kThreads, 1)
    AttentionKernel(const __grid_constant__ AttentionLaunch launch) {
  extern __shared__ __align__(128) uint8_t shared[];
  const int warp = threadIdx.x / 32;
  const int lane = threadIdx.x % 32;
  const uint32_t query = SharedAddress(shared);
  const uint32_t stage0 = query + Layout<kHeadDim>::kQueryBytes;
  float* scratch = launch.scratch + blockIdx.x * launch.scratch_floats;

  for (int index = blockIdx.x; index < launch.num_items; index += gridDim.x) {
    const auto item = FindItemOf<kSplit>(launch, index);
    const AttentionItemRange& s = *item.sequence;
    const int64_t first_row = s.first_row;
    const int kv_head = item.head / launch.group;
    const Bf16* q = launch.q + int64_t{s.query_row} * launch.q_stride + item.head * kHeadDim;
    const Bf16* k = launch.k + first_row * launch.k_stride + kv_head * kHeadDim;
    const Bf16* v = launch.v + first_row * launch.v_stride + kv_head * kHeadDim;
    const int num_tiles = (s.num_tokens + kKeys - 1) / kKeys;
    int first_tile = 0;
    int end_tile = num_tiles;
    if constexpr (kSplit) {
      const KeyChunk chunk = KeyChunkAt(s.num_tokens, item.chunk);
      first_tile = chunk.first * (kKeyTileTokens / kKeys);
      end_tile = min(chunk.end * (kKeyTileTokens / kKeys), num_tiles);
    }
    const int own_block = min((item.tile * kRows + warp * 16) / s.block_size, s.num_blocks - 1);
    const bool selecting = kSelect && s.mode == 1;

    Rows<kHeadDim> rows = {};
    rows.max[0] = rows.max[1] = kNegativeInfinity;
    float carry[2] = {kNegativeInfinity, kNegativeInfinity};

    auto load_tile = [&](int tile, int stage) {
      const uint32_t keys =
          stage0 + static_cast<uint32_t>(stage) * 2 * Layout<kHeadDim>::kTileBytes;
      LoadRows<kHeadDim, kKeys>(keys, k, launch.k_stride, tile * kKeys, s.num_tokens);
      LoadRows<kHeadDim, kKeys>(keys + Layout<kHeadDim>::kTileBytes, v, launch.v_stride,
                                tile * kKeys, s.num_tokens);
    };
    LoadRows<kHeadDim, kRows>(query, q, launch.q_stride, item.tile * kRows, s.end_token);
    int tile = NextTile(s, item, first_tile, end_tile);
    int stage = 0;
    if (tile < end_tile) load_tile(tile, stage);
    CommitCopies();
    while (tile < end_tile) {
      const int next = NextTile(s, item, tile + 1, end_tile);
      if (next < end_tile) load_tile(next, stage ^ 1);
      CommitCopies();
      WaitCopies<1>();
      __syncthreads();
      const int halves = KeptHalves(s, item.head, own_block, tile);
      if (halves != 0) {
        const uint32_t keys =
            stage0 + static_cast<uint32_t>(stage) * 2 * Layout<kHeadDim>::kTileBytes;
        float p[8][4];
        Scores<kHeadDim>(p, query, keys, warp, lane);
        const int tail = s.num_tokens - tile * kKeys;  // keys from here on do not exist
        if (tail < kKeys || halves != 3) {
#pragma unroll
          for (int n = 0; n < 8; ++n) {
#pragma unroll
            for (int i = 0; i < 4; ++i) {
              const bool exists = n * 8 + (lane % 4) * 2 + i % 2 < tail;
              if (!exists || (halves & (n < 4 ? 1 : 2)) == 0) p[n][i] = kNegativeInfinity;
            }
          }
        }
        Softmax(rows, p, launch.scale_log2);
        if constexpr (kSelect) {
          if (selecting) {
            StoreMass(p, rows.max, launch.scale_log2, s.selection_ratio, s, tile, num_tiles, warp,
                      lane, carry, scratch);
          }
        }
        AddValues(rows, p, keys + Layout<kHeadDim>::kTileBytes, lane);
      }
      __syncthreads();
      tile = next;
      stage ^= 1;
    }
    WaitCopies<0>();
    if constexpr (kSplit) {
      StorePartial(rows, PartialOf<kHeadDim>(launch, index), launch.scale_log2, warp, lane);
    } else {
      StoreRows(rows, launch, item, warp, lane);
    }
    __syncthreads();
    if constexpr (kSelect) {
      if (selecting) {
        const auto space = reinterpret_cast<float*>(shared);
        Select<kThreads>(s, item,
                         {scratch, /*has_row_mass=*/false, space, space + kItemRows,
                          static_cast<int>(threadIdx.x)},
                         [] { __syncthreads(); });
      }
    }
  }
}

template <int kHeadDim, bool kSelect, bool kSplit>
cudaError_t Launch(const AttentionLaunch& launch, int32_t grid, cudaStream_t stream) {
  const auto kernel = AttentionKernel<kHeadDim, kSelect, kSplit>;
  constexpr int kBytes = Layout<kHeadDim>::kBytes;
  if (const cudaError_t error =
          cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes);
      error != cudaSuccess) {
    return error;
  }
  kernel<<<static_cast<unsigned>(grid), kThreads, kBytes, stream>>>(launch);
  return cudaGetLastError();
}

template <int kHeadDim>
cudaError_t Launch(const AttentionLaunch& launch, Mass mass, int32_t grid, cudaStream_t stream) {
  if (launch.split) return Launch<kHeadDim, false, true>(launch, grid, stream);
  return mass != Mass::kNone ? Launch<kHeadDim, true, false>(launch, grid, stream)
                             : Launch<kHeadDim, false, false>(launch, grid, stream);
}

}  // namespace

cudaError_t LaunchAttentionSm80(const AttentionLaunch& launch, int32_t head_dim, Mass mass,
                                int32_t grid, cudaStream_t stream) {
  if (launch.num_items == 0) return cudaSuccess;
  if (head_dim == 64) return Launch<64>(launch, mass, grid, stream);
  if (head_dim == 128) return Launch<128>(launch, mass, grid, stream);
  return cudaErrorInvalidValue;
}

}  // namespace sparsed::kernels::cuda
