// The rows of a split attention launch from what its items left for each chunk of the keys: outputs
// relative to their chunk's own maximum, and sums of probabilities. Chunks are added up in
// ascending order, whoever computed them and when. A chunk of which a row keeps nothing has the
// weight 0.
#include "kernels/cuda/split_items.cuh"

namespace sparsed::kernels::cuda {
namespace {

constexpr int kWarps = 8;  // a row each
static_assert(kMostKeyChunks <= 32, "a lane for each chunk of a row");

// A query tile of one head: where the items of its chunks are.
struct QueryTile {
  Item item;  // of chunk 0
  int first_item;
  int chunks;
};

// Block `index` of those along x: the query tiles of each head, sequence by sequence.
__device__ QueryTile FindQueryTile(const AttentionLaunch& launch, int index) {
  int s = 0;
  while (index >= launch.num_heads * launch.sequences[s].num_tiles) {
    index -= launch.num_heads * launch.sequences[s].num_tiles;
    ++s;
  }
  const AttentionItemRange& sequence = launch.sequences[s];
  const int tiles = sequence.num_tiles;
  const int chunks = NumKeyChunks(sequence.num_tokens);
  const ChunkItem first = {index / tiles, 0, index % tiles};
  return {{&sequence, first.head, sequence.first_tile + first.query_tile},
          sequence.first_item + ChunkItemIndex(first, chunks, tiles),
          chunks};
}

template <int kHeadDim>
__global__ void __launch_bounds__(kWarps * 32)
    CombineKernel(const __grid_constant__ AttentionLaunch launch) {
  constexpr int kColumns = kHeadDim / 32;  // of a lane
  const QueryTile tile = FindQueryTile(launch, static_cast<int>(blockIdx.x));
  const AttentionItemRange& s = *tile.item.sequence;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int row = static_cast<int>(blockIdx.y) * kWarps + static_cast<int>(threadIdx.x) / 32;
  const int token = tile.item.tile * kItemRows + row;
  if (token >= s.end_token) return;
  const auto partial = [&](int chunk) {
    return PartialOf<kHeadDim>(launch, tile.first_item + chunk * s.num_tiles);
  };

  float base = kNegativeInfinity;
  float sum = 0;
  if (lane < tile.chunks) {
    base = partial(lane).base[row];
    sum = partial(lane).sum[row];
  }
  float high = base;
#pragma unroll
  for (int d = 16; d > 0; d /= 2) high = fmaxf(high, __shfl_xor_sync(0xffffffffu, high, d));
  const float weight = Exp2(base - (high == kNegativeInfinity ? 0 : high));

  float total = 0;
  float out[kColumns] = {};
#pragma unroll 4  // loads side by side
  for (int chunk = 0; chunk < tile.chunks; ++chunk) {
    const float scale = __shfl_sync(0xffffffffu, weight, chunk);
    total += scale * __shfl_sync(0xffffffffu, sum, chunk);
    const float* values = partial(chunk).out + row * kHeadDim + lane * kColumns;
#pragma unroll
    for (int i = 0; i < kColumns; i += 2) {
      const float2 pair = *reinterpret_cast<const float2*>(values + i);
      out[i] += scale * pair.x;
      out[i + 1] += scale * pair.y;
    }
  }
  const float inverse = total > 0 ? 1.0f / total : 0.0f;
  Bf16* to = launch.out + (int64_t{s.query_row} + token) * launch.out_stride +
             tile.item.head * kHeadDim + lane * kColumns;
#pragma unroll
  for (int i = 0; i < kColumns; i += 2) {
    *reinterpret_cast<uint32_t*>(to + i) = PackBf16(out[i] * inverse, out[i + 1] * inverse);
  }
}

template <int kHeadDim>
cudaError_t Launch(const AttentionLaunch& launch, cudaStream_t stream) {
  int tiles = 0;
  for (int s = 0; s < launch.num_sequences; ++s) {
    tiles += launch.num_heads * launch.sequences[s].num_tiles;
  }
  if (tiles == 0) return cudaSuccess;
  const dim3 grid(static_cast<unsigned>(tiles), kItemRows / kWarps);
  CombineKernel<kHeadDim><<<grid, kWarps * 32, 0, stream>>>(launch);
  return cudaGetLastError();
}

}  // namespace

cudaError_t LaunchAttentionCombine(const AttentionLaunch& launch, int32_t head_dim,
                                   cudaStream_t stream) {
  if (head_dim == 64) return Launch<64>(launch, stream);
  if (head_dim == 128) return Launch<128>(launch, stream);
  return cudaErrorInvalidValue;
}

}  // namespace sparsed::kernels::cuda
