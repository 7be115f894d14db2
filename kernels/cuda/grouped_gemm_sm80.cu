// Products of each expert's rows with its weight, by mma.sync for compute capability 8.0 and newer.
//
// Persistent blocks of 4 warps take tiles of 128 rows and 128 columns, which they find from the
// slots' borders on the device. Along the reduction, pieces of 64 come through a ring of stages in
// shared memory; a warp owns 64 rows and 64 columns. Every row is added up in the same order
// wherever it stands in whichever tile, so that its bits depend on it and its weight alone.
#include "kernels/cuda/grouped_tiles.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/mma_sm80.cuh"

namespace sparsed::kernels::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kBlocksPerMultiprocessor = 2;
constexpr int kRows = 128;  // of a tile, and as many of the weight
constexpr int kDepth = 64;  // of a stage
constexpr int kWarpRows = 64;
constexpr int kWarpCols = 64;
constexpr int kChunks = kDepth / 8;  // 16-byte pieces of a row
constexpr int kOperandBytes = kRows * kDepth * 2;
constexpr int kStageBytes = 2 * kOperandBytes;
constexpr int kStages = 3;
constexpr int kBytes = kStages * kStageBytes;
static_assert(kGroupedTileRows == kRows && kGroupedTileCols == kRows);

// Byte offset of 16-byte piece `chunk` of `row`: XOR swizzle, so that 8 rows hit 8 bank groups.
__device__ uint32_t Swizzled(int row, int chunk) {
  return static_cast<uint32_t>((row * kChunks + (chunk ^ (row & 7))) * 16);
}

// 128 rows of one operand: of x, or of a weight.
struct Operand {
  const Bf16* first;  // of row 0
  int64_t stride;
  int32_t rows;  // that exist
};

// Columns [depth, depth + kDepth) to shared memory; zeros for what lies beyond the rows or `limit`.
__device__ void LoadOperand(uint32_t shared, const Operand& operand, int32_t depth, int32_t limit) {
  constexpr int kStep = kThreads / kChunks;  // rows between those of a thread: the swizzle repeats
  static_assert(kStep % 8 == 0);
  const int32_t chunk = static_cast<int32_t>(threadIdx.x) % kChunks;
  const int32_t column = depth + chunk * 8;
  const int32_t row = static_cast<int32_t>(threadIdx.x) / kChunks;
  const int32_t rows = column < limit ? operand.rows - row : 0;  // from the thread's first on
  const Bf16* source = operand.first + row * operand.stride + column;
  const uint32_t target = shared + Swizzled(row, chunk);
#pragma unroll
  for (int i = 0; i < kRows / kStep; ++i) {
    const bool valid = i * kStep < rows;
    CopyAsync16(target + i * kStep * kDepth * 2, valid ? source : operand.first, valid);
    source += kStep * operand.stride;
  }
}

// A warp's sums: 4 fragments of 16 rows, 8 of 8 columns.
struct Sums {
  float v[kWarpRows / 16][kWarpCols / 8][4];
};

// Adds one stage. x and weight: where the warp's rows of either begin.
__device__ void AddStage(Sums& sums, uint32_t x, uint32_t weight, int lane) {
#pragma unroll
  for (int step = 0; step < kDepth / 16; ++step) {
    uint32_t a[kWarpRows / 16][4];
#pragma unroll
    for (int m = 0; m < kWarpRows / 16; ++m) {
      LoadMatrix4(a[m], x + Swizzled(m * 16 + lane % 16, step * 2 + lane / 16));
    }
#pragma unroll
    for (int n = 0; n < kWarpCols / 16; ++n) {
      uint32_t b[4];
      const int row = n * 16 + lane % 8 + (lane / 16) * 8;
      LoadMatrix4(b, weight + Swizzled(row, step * 2 + (lane / 8) % 2));
#pragma unroll
      for (int m = 0; m < kWarpRows / 16; ++m) {
        MmaBf16(sums.v[m][2 * n], a[m], b[0], b[1]);
        MmaBf16(sums.v[m][2 * n + 1], a[m], b[2], b[3]);
      }
    }
  }
}

// Rounds a warp's sums to the `rows` and `cols` of its part of the tile that exist.
__device__ void StoreSums(const Sums& sums, Bf16* out, int64_t stride, int32_t rows, int32_t cols,
                          int lane) {
#pragma unroll
  for (int m = 0; m < kWarpRows / 16; ++m) {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const int32_t row = m * 16 + lane / 4 + 8 * r;
      if (row >= rows) continue;
      Bf16* target = out + row * stride + (lane % 4) * 2;
#pragma unroll
      for (int n = 0; n < kWarpCols / 8; ++n) {
        if (n * 8 >= cols) continue;
        *reinterpret_cast<uint32_t*>(target + n * 8) =
            PackBf16(sums.v[m][n][2 * r], sums.v[m][n][2 * r + 1]);
      }
    }
  }
}

__global__ void __launch_bounds__(kThreads, kBlocksPerMultiprocessor)
    GroupedLinearKernel(const __grid_constant__ GroupedLaunch launch) {
  extern __shared__ __align__(128) uint8_t shared[];
  const uint32_t stages = SharedAddress(shared);
  const int lane = threadIdx.x % 32;
  const int32_t warp = static_cast<int32_t>(threadIdx.x) / 32;
  const int32_t warp_row = warp / 2 * kWarpRows;
  const int32_t warp_col = warp % 2 * kWarpCols;
  const int32_t in = launch.in_features;
  const int32_t num_pieces = (in + kDepth - 1) / kDepth;

  GroupedTileWalk walk(launch.first_slots, launch.num_experts, launch.out_features);
  GroupedTile tile;
  for (int32_t index = static_cast<int32_t>(blockIdx.x); walk.Find(index, tile);
       index += static_cast<int32_t>(gridDim.x)) {
    const Operand x = {launch.x + tile.first_slot * launch.x_stride, launch.x_stride, tile.rows};
    const Operand weight = {launch.weights[tile.expert] + int64_t{tile.first_col} * in, in,
                            min(launch.out_features - tile.first_col, kGroupedTileCols)};
    // An empty group where there is no such piece, so that groups and pieces keep the same numbers.
    const auto load_piece = [&](int32_t piece, int stage) {
      if (piece < num_pieces) {
        const uint32_t target = stages + static_cast<uint32_t>(stage) * kStageBytes;
        LoadOperand(target, x, piece * kDepth, in);
        LoadOperand(target + kOperandBytes, weight, piece * kDepth, in);
      }
      CommitCopies();
    };
    Sums sums = {};
#pragma unroll
    for (int piece = 0; piece + 1 < kStages; ++piece) load_piece(piece, piece);
    int stage = 0;
    int free_stage = kStages - 1;  // the one that was added last
    for (int32_t piece = 0; piece < num_pieces; ++piece) {
      WaitCopies<kStages - 2>();
      __syncthreads();  // everybody's part of the piece is there, and nobody reads free_stage
      load_piece(piece + kStages - 1, free_stage);
      if (warp_row < tile.rows) {
        const uint32_t rows = stages + static_cast<uint32_t>(stage) * kStageBytes;
        AddStage(sums, rows + Swizzled(warp_row, 0), rows + kOperandBytes + Swizzled(warp_col, 0),
                 lane);
      }
      free_stage = stage;
      stage = stage + 1 == kStages ? 0 : stage + 1;
    }
    __syncthreads();  // the next tile's first pieces go where this one's last are read
    StoreSums(sums,
              launch.out + (int64_t{tile.first_slot} + warp_row) * launch.out_stride +
                  tile.first_col + warp_col,
              launch.out_stride, tile.rows - warp_row, weight.rows - warp_col, lane);
  }
}

}  // namespace

cudaError_t LaunchGroupedLinear(const GroupedLaunch& launch, int32_t grid, cudaStream_t stream) {
  if (grid == 0) return cudaSuccess;
  if (const cudaError_t error = cudaFuncSetAttribute(
          GroupedLinearKernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes);
      error != cudaSuccess) {
    return error;
  }
  GroupedLinearKernel<<<static_cast<unsigned>(grid), kThreads, kBytes, stream>>>(launch);
  return cudaGetLastError();
}

}  // namespace sparsed::kernels::cuda
