// Attention for compute capability 9.0a (Hopper): full, full + select and sparse in one kernel.
//
// A persistent block of three warpgroups works through items, 128 query rows of one head each. One
// thread of the first warpgroup produces: it walks the items' kept 128-key tiles and has the copy
// engine bring Q, K and V into rings of two stages. The other two warpgroups consume, 64 query rows
// each: scores from shared memory, softmax in registers, values with the probabilities as register
// operand. The product of the next tile's scores and that of this tile's values are issued
// together, and the two warpgroups take turns in issuing, so that one computes exponentials while
// the other's products run. Without selection that goes on from item to item. An item's output
// leaves through the place of its queries. In a select launch the first warpgroup's other warps
// turn the mass that an item left in the scratch into patterns while the consumers work on the next
// item.
//
// A dropped tile leaves the online softmax untouched, so a mask that keeps everything gives the
// bits of full attention. In a split launch an item is one chunk of the keys too, and leaves its
// rows in the scratch. Sequences start at multiples of 64 packed rows, which a box of queries or
// values has: none touches two of them, but half a tile that a sequence does not reach is read as
// zeros. A box of keys may touch the next sequence; those scores are blanked. What lies behind a
// sequence's last row, up to such a multiple, is finite.
#include <algorithm>
#include <span>
#include <type_traits>

#include "kernels/cuda/ptx_sm90.cuh"
#include "kernels/cuda/rings_sm90.cuh"
#include "kernels/cuda/selection.cuh"
#include "kernels/cuda/softmax_sm90.cuh"
#include "kernels/cuda/split_items.cuh"
#include "kernels/cuda/tile_walk.cuh"
#include "kernels/cuda/wgmma_sm90.cuh"

namespace sparsed::kernels::cuda {
namespace {

constexpr int kThreads = 384;
constexpr int kWarps = 8;  // of the consumers
constexpr int kPatternThreads = 96;
constexpr int kWarpRowBytes = AttentionMaps::kOutRows * kBoxColumns * 2;  // of a warp in a box
constexpr int kHalfTile = 64;       // rows of a box of queries or values
constexpr int kNoRow = -kHalfTile;  // of a box outside the tensor: zeros

// This block's scratch for the mass of an item.
__device__ float* MassBuffer(const AttentionLaunch& launch, int buffer) {
  const int64_t index = int64_t{blockIdx.x} * launch.scratch_buffers + buffer;
  return launch.scratch + index * launch.scratch_floats;
}

template <int kBoxes, int kBytes>
__device__ void LoadBoxes(uint32_t shared, const CUtensorMap* map, int column, int row,
                          uint32_t barrier) {
#pragma unroll
  for (int box = 0; box < kBoxes; ++box) {
    BulkLoad2d(shared + static_cast<uint32_t>(box) * kBytes, map, column + box * kBoxColumns, row,
               barrier);
  }
}

// Holds a block back until the others have come to their items of the same round, so that all read
// the same keys at about the same time. Blocks that drift apart bring a head's keys and values,
// where the cache does not hold them, from memory again and again. Who waits for long goes on: this
// is about speed alone.
__device__ void KeepInStep(const AttentionLaunch& launch, int index) {
  constexpr long long kMostCycles = 1 << 20;
  const int grid = static_cast<int>(gridDim.x);
  const int last_of_round = min(index / grid * grid + grid, launch.num_items);
  atomicAdd(launch.items_begun, 1u);
  const volatile uint32_t* begun = launch.items_begun;
  const long long since = clock64();
  while (*begun < static_cast<uint32_t>(last_of_round) && clock64() - since < kMostCycles) {
    __nanosleep(200);
  }
}

template <int kHeadDim, bool kSelect, bool kSplit>
__device__ void Produce(const AttentionLaunch& launch, const CUtensorMap* q_map,
                        const CUtensorMap* k_map, const CUtensorMap* v_map, uint32_t shared,
                        const Barriers& barriers, volatile uint32_t* tile_info) {
  using L = Layout<kHeadDim, kSelect>;
  Ring query, key, value;
  // A tile's values are asked for after the next tile's keys, be those of the next item. Of the
  // tile that waits for that: where its values are, and the row of each half.
  int value_column = 0;
  int value_rows[2];
  bool value_due = false;
  const auto load_value = [&] {
    if (!value_due) return;
    BarrierWait(barriers.ValueEmpty(value.stage), value.parity ^ 1);
    BarrierArriveExpect(barriers.ValueFull(value.stage), L::kTileBytes);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      LoadBoxes<L::kBoxes, kBoxBytes>(
          shared + L::kValue + static_cast<uint32_t>(value.stage) * L::kTileBytes +
              static_cast<uint32_t>(half) * (kBoxBytes / 2),
          v_map, value_column, value_rows[half], barriers.ValueFull(value.stage));
    }
    value.Advance();
    value_due = false;
  };
  for (int index = blockIdx.x; index < launch.num_items; index += gridDim.x) {
    const auto item = FindItemOf<kSplit>(launch, index);
    const AttentionItemRange& s = *item.sequence;
    const int kv_column = item.head / launch.group * kHeadDim;
    std::conditional_t<kSplit, ChunkWalk, TileWalk> walk(s, item);

    const auto load_key = [&](const TileInfo& info, bool last) {
      BarrierWait(barriers.KeyEmpty(key.stage), key.parity ^ 1);
      tile_info[key.stage] = PackTile({info.tile, info.groups | (last ? kLastTile : 0)});
      BarrierArriveExpect(barriers.KeyFull(key.stage), L::kTileBytes);
      LoadBoxes<L::kBoxes, kBoxBytes>(
          shared + L::kKey + static_cast<uint32_t>(key.stage) * L::kTileBytes, k_map, kv_column,
          s.first_row + info.tile * kKeys, barriers.KeyFull(key.stage));
      key.Advance();
    };
    const auto note_value = [&](int tile, bool nothing) {
      value_column = kv_column;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int token = tile * kKeys + half * kHalfTile;
        value_rows[half] = !nothing && token < s.num_tokens ? s.first_row + token : kNoRow;
      }
      value_due = true;
    };

    // The queries first: their place has long been free.
#pragma unroll
    for (int group = 0; group < kGroups; ++group) {
      const int token = item.tile * kItemRows + group * kHalfTile;
      BarrierWait(barriers.QueryEmpty(query.stage, group), query.parity ^ 1);
      BarrierArriveExpect(barriers.QueryFull(query.stage, group), L::kQueryBytes);
      LoadBoxes<L::kBoxes, kQueryBoxBytes>(
          shared + L::kQuery +
              static_cast<uint32_t>(query.stage * kGroups + group) * L::kQueryBytes,
          q_map, item.head * kHeadDim, token < s.end_token ? s.query_row + token : kNoRow,
          barriers.QueryFull(query.stage, group));
    }
    query.Advance();
    if (launch.items_begun != nullptr) {
      load_value();
      KeepInStep(launch, index);
    }
    TileInfo info = walk.Next();
    // An item that keeps nothing is a tile of which nothing is kept, without values.
    const bool nothing = info.tile == kNoTile;
    if (nothing) info = {0, 0};
    while (true) {
      const TileInfo next = nothing ? TileInfo{kNoTile, 0} : walk.Next();
      load_key(info, next.tile == kNoTile);
      load_value();
      note_value(info.tile, nothing);
      if (next.tile == kNoTile) break;
      info = next;
    }
  }
  load_value();
}

constexpr int kTurnBarrier = 1;     // and the next: one a consumer warpgroup
constexpr int kPatternBarrier = 3;  // of the pattern warps

// The pattern warps: each item's mass becomes the patterns of its query blocks.
template <int kHeadDim>
__device__ void BuildPatterns(const AttentionLaunch& launch, uint8_t* shared_pointer,
                              const Barriers& barriers) {
  float* const space =
      reinterpret_cast<float*>(shared_pointer + Layout<kHeadDim, true>::kSelection);
  const int thread = static_cast<int>(threadIdx.x) - (128 - kPatternThreads);
  Ring mass;
  for (int index = blockIdx.x; index < launch.num_items; index += gridDim.x) {
    const Item item = FindItem(launch, index);
    if (item.sequence->mode != 1) continue;
    BarrierWait(barriers.MassFull(mass.stage), mass.parity);
    Select<kPatternThreads>(
        *item.sequence, item,
        {MassBuffer(launch, mass.stage), /*has_row_mass=*/true, space, space + kItemRows, thread},
        [] { NamedSync<kPatternThreads>(kPatternBarrier); });
    if (thread == 0) BarrierArrive(barriers.MassEmpty(mass.stage));
    mass.Advance(launch.scratch_buffers);
  }
}

template <int kHeadDim>
__device__ void IssueScores(float (&s)[64], uint64_t query, uint64_t keys) {
#pragma unroll
  for (int step = 0; step < kHeadDim / 16; ++step) {
    const auto box = static_cast<uint32_t>(step / 4);
    const auto offset = static_cast<uint32_t>(step % 4 * 32);
    Wgmma128(s, WgmmaAdvance(query, box * kQueryBoxBytes + offset),
             WgmmaAdvance(keys, box * kBoxBytes + offset), step != 0);
  }
}

template <int kHeadDim>
__device__ void IssueValues(float (&out)[kHeadDim / 2], const uint32_t (&p)[8][4],
                            uint64_t values) {
#pragma unroll
  for (int step = 0; step < kKeys / 16; ++step) {
    const uint64_t b = WgmmaAdvance(values, static_cast<uint32_t>(step) * 2048);
    if constexpr (kHeadDim == 128) {
      Wgmma128(out, p[step], b);
    } else {
      Wgmma64(out, p[step], b);
    }
  }
}

// The output of the thread's two rows: through the place of the warp's queries, `staging`, where
// all of the warp's 16 rows exist.
template <int kHeadDim>
__device__ void StoreRows(const Rows<kHeadDim>& rows, const AttentionLaunch& launch,
                          const CUtensorMap* out_map, const Item& item, uint32_t staging,
                          int warp_row, int lane) {
  float inverse[2];
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const float total = QuadSum(rows.sum[r]);
    inverse[r] = total > 0 ? 1.0f / total : 0.0f;
  }
  const int token = item.tile * kItemRows + warp_row;
  const AttentionItemRange& s = *item.sequence;
  if (token + static_cast<int>(AttentionMaps::kOutRows) <= s.end_token) {
    const int row = lane % 16;
    const uint32_t row_address = staging + static_cast<uint32_t>(row) * 128;
#pragma unroll
    for (int j = 0; j < kHeadDim / 8; j += 2) {
      const float* out = rows.out + 4 * j;
      const int chunk = (j % 8 + lane / 16) ^ (row % 8);
      StoreMatrix4(row_address + static_cast<uint32_t>(j / 8 * kQueryBoxBytes + chunk * 16),
                   PackBf16(out[0] * inverse[0], out[1] * inverse[0]),
                   PackBf16(out[2] * inverse[1], out[3] * inverse[1]),
                   PackBf16(out[4] * inverse[0], out[5] * inverse[0]),
                   PackBf16(out[6] * inverse[1], out[7] * inverse[1]));
    }
    FenceBulkStore();
    __syncwarp();
    if (lane == 0) {
#pragma unroll
      for (int box = 0; box < kHeadDim / kBoxColumns; ++box) {
        BulkStore2d(out_map, item.head * kHeadDim + box * kBoxColumns, s.query_row + token,
                    staging + static_cast<uint32_t>(box) * kQueryBoxBytes);
      }
      BulkCommit();
    }
    return;
  }
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const int own_token = token + lane / 4 + 8 * r;
    if (own_token >= s.end_token) continue;
    Bf16* out = launch.out + (static_cast<int64_t>(s.query_row) + own_token) * launch.out_stride +
                item.head * kHeadDim + (lane % 4) * 2;
#pragma unroll
    for (int j = 0; j < kHeadDim / 8; ++j) {
      *reinterpret_cast<uint32_t*>(out + j * 8) =
          PackBf16(rows.out[4 * j + 2 * r] * inverse[r], rows.out[4 * j + 2 * r + 1] * inverse[r]);
    }
  }
}

// The same in a split launch: relative to the maximum and before the division, to the scratch.
template <int kHeadDim>
__device__ void StorePartial(const Rows<kHeadDim>& rows, const Partial<kHeadDim>& partial,
                             float scale, int warp_row, int lane) {
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    StorePartialRow(partial, warp_row + lane / 4 + 8 * r, lane, rows.max[r] * scale,
                    QuadSum(rows.sum[r]), [&](int j) {
                      return float2{rows.out[4 * j + 2 * r], rows.out[4 * j + 2 * r + 1]};
                    });
  }
}

// kParts: see TileMass; no fewer than attention blocks in a tile of any sequence that is selected.
template <int kHeadDim, Mass kMass, int kParts, bool kSplit>
__device__ void Consume(const AttentionLaunch& launch, const CUtensorMap* out_map, uint32_t shared,
                        const Barriers& barriers, const volatile uint32_t* tile_info) {
  constexpr bool kSelect = kMass != Mass::kNone;
  // Whether an item's last values are issued together with the next one's first scores; elsewhere
  // that is 1 to 4% slower.
  constexpr bool kJoinItems = !kSelect && kHeadDim == 128;
  using L = Layout<kHeadDim, kSelect>;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  // The shuffle tells the compiler that they are uniform.
  const int warp = __shfl_sync(0xffffffffu, static_cast<int>(threadIdx.x) / 32 - 4, 0);
  const int group = warp / 4;
  const int warp_row = warp * 16;
  const uint32_t own_queries = shared + L::kQuery + static_cast<uint32_t>(group) * L::kQueryBytes;
  const float scale = launch.scale_log2;
  Ring query, key, value, mass;
  if (group == 1) NamedArrive<256>(kTurnBarrier);

  const auto release = [lane](uint32_t barrier) {
    __syncwarp();
    if (lane == 0) BarrierArrive(barrier);
  };
  const uint64_t first_queries = WgmmaDescriptor(own_queries, 16, 1024);
  const uint64_t first_keys = WgmmaDescriptor(shared + L::kKey, 16, 1024);
  const uint64_t first_values = WgmmaDescriptor(shared + L::kValue, kBoxBytes, 1024);
  const auto query_offset = [&] {
    return static_cast<uint32_t>(query.stage * kGroups) * L::kQueryBytes;
  };
  const auto queries = [&] { return WgmmaAdvance(first_queries, query_offset()); };
  const auto keys = [&] {
    return WgmmaAdvance(first_keys, static_cast<uint32_t>(key.stage) * L::kTileBytes);
  };
  const auto values = [&] {
    return WgmmaAdvance(first_values, static_cast<uint32_t>(value.stage) * L::kTileBytes);
  };
  // Where the warp's output leaves.
  const auto staging = [&] {
    return own_queries + query_offset() + static_cast<uint32_t>(warp % 4) * kWarpRowBytes;
  };
  // The place of the item before, once the copy engine has read its output there.
  const auto release_queries = [&] {
    if (lane == 0) {
      BulkWaitRead();
      BarrierArrive(barriers.QueryEmpty(query.stage ^ 1, group));
    }
  };
  Rows<kHeadDim> rows;
  float scores[64];
  float rescale[2];
  uint32_t p[8][4];
  TileMass<kParts> tile_mass;
  TileInfo info;
  const auto wait_key = [&] { BarrierWait(barriers.KeyFull(key.stage), key.parity); };
  const auto read_info = [&] {
    // One lane reads: the same that tells the producer when the word may be overwritten.
    uint32_t word = 0;
    if (lane == 0) word = tile_info[key.stage];
    info = UnpackTile(__shfl_sync(0xffffffffu, word, 0));
  };
  // The scores are there: their keys are not needed again.
  const auto release_key = [&] {
    release(barriers.KeyEmpty(key.stage));
    key.Advance();
  };
  const auto issue_scores = [&] {
    NamedSync<256>(kTurnBarrier + group);
    WgmmaFence();
    IssueScores<kHeadDim>(scores, queries(), keys());
    WgmmaCommit();
  };
  const auto issue_values = [&] {
    Rescale(rows, rescale);
    BarrierWait(barriers.ValueFull(value.stage), value.parity);
    WgmmaFence();
    IssueValues<kHeadDim>(rows.out, p, values());
    WgmmaCommit();
  };
  const auto release_value = [&] {
    PinRegisters(rows.out);
    release(barriers.ValueEmpty(value.stage));
    value.Advance();
  };
  int index = blockIdx.x;
  Item item = FindItemOf<kSplit>(launch, index);
  wait_key();
  read_info();
  BarrierWait(barriers.QueryFull(query.stage, group), query.parity);
  issue_scores();
  NamedArrive<256>(kTurnBarrier + (group ^ 1));
  while (true) {
    const AttentionItemRange& s = *item.sequence;
    const bool selecting = kSelect && s.mode == 1;
    const int num_tokens = s.num_tokens;
    const int group_shift = warp_row / s.block_size * 4;  // of the warp's query block
    MassStore store = {};
    if constexpr (kSelect) {
      if (selecting) {
        store = {MassBuffer(launch, mass.stage) + warp_row + lane / 4, kKeys / s.block_size,
                 s.num_blocks, scale * s.selection_ratio};
        BarrierWait(barriers.MassEmpty(mass.stage), mass.parity ^ 1);
      }
    }
    // Of the tile before the products under way: it costs nothing while they are waited for.
    const auto store_mass = [&](int tile) {
      if constexpr (kSelect) {
        if (selecting) StoreMass(tile_mass, rows.max, store, tile, lane);
      }
    };
    // From scores to probabilities of the tile at hand.
    const auto soften = [&] {
      const uint32_t kept = info.groups >> group_shift & 15u;
      const int existing = num_tokens - info.tile * kKeys;
      if (kept != 15u || existing < kKeys) Blank(scores, existing, kept, lane);
      Softmax<kMass>(rows, scores, scale, rescale, tile_mass);
      if constexpr (kMass == Mass::kPower) {
        if (selecting) PowerMass(rows, scores, s.selection_ratio, rescale, tile_mass);
      }
    };

    rows = {};
    rows.max[0] = rows.max[1] = kNegativeInfinity;
    WgmmaWait<0>();
    PinRegisters(scores);
    release_key();
    soften();
    Pack(p, scores);
    if (index != blockIdx.x) release_queries();
    while (!(info.groups & kLastTile)) {
      const int tile = info.tile;
      wait_key();
      issue_scores();
      issue_values();
      NamedArrive<256>(kTurnBarrier + (group ^ 1));
      read_info();
      store_mass(tile);
      WgmmaWait<1>();
      PinRegisters(scores);
      release_key();
      soften();
      WgmmaWait<0>();
      release_value();
      Pack(p, scores);
    }
    // The next item's first scores. Behind the last item they are of what lies there, and unused:
    // which products are under way depends on no branch.
    const int tile = info.tile;
    const uint32_t out_staging = staging();
    const Item done = item;
    query.Advance();
    index += gridDim.x;
    const bool more = index < launch.num_items;
    const auto next_item = [&] {
      if (!more) return;
      item = FindItemOf<kSplit>(launch, index);
      wait_key();
      read_info();
      BarrierWait(barriers.QueryFull(query.stage, group), query.parity);
    };
    if constexpr (kJoinItems) {
      next_item();
      issue_values();
      issue_scores();
      NamedArrive<256>(kTurnBarrier + (group ^ 1));
      WgmmaWait<1>();
    } else {
      issue_values();
      store_mass(tile);
      if constexpr (kSelect) {
        if (selecting) {
          StoreRowMass<kMass>(rows, store, lane);
          release(barriers.MassFull(mass.stage));
          mass.Advance(launch.scratch_buffers);
        }
      }
      WgmmaWait<0>();
    }
    release_value();
    if constexpr (kSplit) {
      const int done_index = index - static_cast<int>(gridDim.x);
      StorePartial(rows, PartialOf<kHeadDim>(launch, done_index), scale, warp_row, lane);
    } else {
      StoreRows(rows, launch, out_map, done, out_staging, warp_row, lane);
    }
    if constexpr (!kJoinItems) {
      next_item();
      issue_scores();
      NamedArrive<256>(kTurnBarrier + (group ^ 1));
    }
    if (!more) break;
  }
  WgmmaWait<0>();
  if (lane == 0) BulkWaitRead();
}

template <int kHeadDim, Mass kMass, int kParts, bool kSplit>
__global__ void __launch_bounds__(kThreads, 1)
    AttentionKernel(const __grid_constant__ AttentionLaunch launch,
                    const __grid_constant__ AttentionMaps maps) {
  constexpr bool kSelect = kMass != Mass::kNone;
  using L = Layout<kHeadDim, kSelect>;
  extern __shared__ uint8_t raw[];
  uint8_t* shared_pointer = raw + ((1024 - SharedAddress(raw) % 1024) % 1024);
  const uint32_t shared = SharedAddress(shared_pointer);
  const Barriers barriers{shared + L::kBarriers};
  auto* tile_info = reinterpret_cast<volatile uint32_t*>(shared_pointer + L::kTileInfo);
  if (threadIdx.x == 0) {
    for (int stage = 0; stage < kStages; ++stage) {
      BarrierInit(barriers.KeyFull(stage), 1);
      BarrierInit(barriers.KeyEmpty(stage), kWarps);
      BarrierInit(barriers.ValueFull(stage), 1);
      BarrierInit(barriers.ValueEmpty(stage), kWarps);
      BarrierInit(barriers.MassFull(stage), kWarps);
      BarrierInit(barriers.MassEmpty(stage), 1);
      for (int group = 0; group < kGroups; ++group) {
        BarrierInit(barriers.QueryFull(stage, group), 1);
        BarrierInit(barriers.QueryEmpty(stage, group), kWarps / kGroups);
      }
    }
    FenceBarrierInit();
  }
  __syncthreads();
  if (threadIdx.x < 128) {
    ShrinkRegisters<kSelect ? 72 : 56>();
    if (threadIdx.x == 0) {
      PrefetchMap(&maps.q);
      PrefetchMap(&maps.k);
      PrefetchMap(&maps.v);
      PrefetchMap(&maps.out);
      Produce<kHeadDim, kSelect, kSplit>(launch, &maps.q, &maps.k, &maps.v, shared, barriers,
                                         tile_info);
    }
    if constexpr (kSelect) {
      if (threadIdx.x >= 128 - kPatternThreads) {
        BuildPatterns<kHeadDim>(launch, shared_pointer, barriers);
      }
    }
  } else {
    GrowRegisters<kSelect ? 216 : 224>();
    Consume<kHeadDim, kMass, kParts, kSplit>(launch, &maps.out, shared, barriers, tile_info);
  }
}

template <int kHeadDim, Mass kMass, int kParts, bool kSplit = false>
cudaError_t Launch(const AttentionLaunch& launch, const AttentionMaps& maps, int32_t grid,
                   cudaStream_t stream) {
  const auto kernel = AttentionKernel<kHeadDim, kMass, kParts, kSplit>;
  constexpr int kBytes = Layout<kHeadDim, kMass != Mass::kNone>::kBytes;
  if (const cudaError_t error =
          cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes);
      error != cudaSuccess) {
    return error;
  }
  kernel<<<static_cast<unsigned>(grid), kThreads, kBytes, stream>>>(launch, maps);
  return cudaGetLastError();
}

// Parts of a tile's mass: as many as attention blocks, those being smallest that select.
int PartsOf(const AttentionLaunch& launch) {
  int parts = 1;
  for (const AttentionItemRange& sequence :
       std::span<const AttentionItemRange>(launch.sequences, launch.num_sequences)) {
    if (sequence.mode == 1) parts = std::max(parts, kKeys / sequence.block_size);
  }
  return parts;
}

template <int kHeadDim, Mass kMass>
cudaError_t LaunchSelect(const AttentionLaunch& launch, const AttentionMaps& maps, int32_t grid,
                         cudaStream_t stream) {
  switch (PartsOf(launch)) {
    case 1:
      return Launch<kHeadDim, kMass, 1>(launch, maps, grid, stream);
    case 2:
      return Launch<kHeadDim, kMass, 2>(launch, maps, grid, stream);
    default:
      return Launch<kHeadDim, kMass, 4>(launch, maps, grid, stream);
  }
}

template <int kHeadDim>
cudaError_t Launch(const AttentionLaunch& launch, const AttentionMaps& maps, Mass mass,
                   int32_t grid, cudaStream_t stream) {
  switch (mass) {
    case Mass::kNone:
      if (launch.split) return Launch<kHeadDim, Mass::kNone, 1, true>(launch, maps, grid, stream);
      return Launch<kHeadDim, Mass::kNone, 1>(launch, maps, grid, stream);
    case Mass::kPlain:
      return LaunchSelect<kHeadDim, Mass::kPlain>(launch, maps, grid, stream);
    case Mass::kSquare:
      return LaunchSelect<kHeadDim, Mass::kSquare>(launch, maps, grid, stream);
    case Mass::kPower:
      return Launch<kHeadDim, Mass::kPower, 4>(launch, maps, grid, stream);
  }
  return cudaErrorInvalidValue;
}

}  // namespace

cudaError_t LaunchAttentionSm90(const AttentionLaunch& launch, const AttentionMaps& maps,
                                int32_t head_dim, Mass mass, int32_t grid, cudaStream_t stream) {
  if (launch.num_items == 0) return cudaSuccess;
  if (head_dim == 64) return Launch<64>(launch, maps, mass, grid, stream);
  if (head_dim == 128) return Launch<128>(launch, maps, mass, grid, stream);
  return cudaErrorInvalidValue;
}

}  // namespace sparsed::kernels::cuda
