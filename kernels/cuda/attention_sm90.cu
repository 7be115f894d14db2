// Attention for compute capability 9.0a (Hopper): full, full + select and sparse in one kernel.
//
// A persistent block of three warpgroups works through items, 128 query rows of one head each. One
// thread of the first warpgroup produces: it walks the item's kept 128-key tiles and has the copy
// engine bring K and V into a ring of two stages. The other two warpgroups consume, 64 query rows
// each: scores from shared memory, softmax in registers, values with the probabilities as register
// operand. The product of the next tile's scores and that of this tile's values are issued
// together, and the two warpgroups take turns in issuing, so that one computes exponentials while
// the other's products run.
//
// A dropped tile leaves the online softmax untouched, so a mask that keeps everything gives the
// bits of full attention. Sequences start at multiples of 128 packed rows: no box touches two of
// them, and what lies behind a sequence's last row is finite.
#include "kernels/cuda/ptx_sm90.cuh"
#include "kernels/cuda/selection.cuh"
#include "kernels/cuda/wgmma_sm90.cuh"

namespace sparsed::kernels::cuda {
namespace {

constexpr int kThreads = 384;
constexpr int kKeys = 128;  // of a tile
constexpr int kStages = 2;
constexpr int kConsumerWarps = 8;
constexpr int kBoxColumns = 64;                         // bf16 columns of a box: 128 bytes
constexpr int kBoxBytes = kItemRows * kBoxColumns * 2;  // a box: 128 rows
constexpr int kSelectFloats = 8192;                     // importances of an item's query blocks
constexpr int kEndOfItem = -1;

template <int kHeadDim, bool kSelect>
struct Layout {
  static constexpr int kBoxes = kHeadDim / kBoxColumns;
  static constexpr int kTileBytes = kBoxes * kBoxBytes;
  static constexpr int kQuery = 0;
  static constexpr int kKey = kTileBytes;
  static constexpr int kValue = kKey + kStages * kTileBytes;
  static constexpr int kSelection = kValue + kStages * kTileBytes;
  static constexpr int kBarriers = kSelection + (kSelect ? (kItemRows + kSelectFloats) * 4 : 0);
  static constexpr int kTileInfo = kBarriers + 8 * (2 + 4 * kStages);
  // 1024: the base is aligned by hand.
  static constexpr int kBytes = kTileInfo + 8 * kStages + 1024;
};

// Addresses of the barriers. Full: the copies have arrived; empty: all consumer warps are done.
struct Barriers {
  uint32_t base;
  __device__ uint32_t QueryFull() const { return base; }
  __device__ uint32_t QueryEmpty() const { return base + 8; }
  __device__ uint32_t KeyFull(int stage) const { return base + 16 + 32 * stage; }
  __device__ uint32_t KeyEmpty(int stage) const { return base + 24 + 32 * stage; }
  __device__ uint32_t ValueFull(int stage) const { return base + 32 + 32 * stage; }
  __device__ uint32_t ValueEmpty(int stage) const { return base + 40 + 32 * stage; }
};

// Position in a ring: the stage and the parity of the round.
struct Ring {
  int stage = 0;
  uint32_t parity = 0;
  __device__ void Advance() {
    stage += 1;
    if (stage == kStages) {
      stage = 0;
      parity ^= 1;
    }
  }
};

// What the producer tells of a tile: its number, and for each of the item's query blocks in turn
// which of its four 32-key groups are kept.
struct TileInfo {
  int tile;
  uint32_t groups;
};
constexpr uint32_t kAllGroups = 0xFFFFu;

// Walks the 128-key tiles that any of the item's query blocks keeps, in ascending order.
class TileWalk {
 public:
  __device__ TileWalk(const AttentionItemRange& s, const Item& item)
      : sparse_(s.mode == 2), num_tiles_((s.num_tokens + kKeys - 1) / kKeys) {
    if (!sparse_) return;
    per_tile_ = kKeys / s.block_size;
    words_ = (s.num_blocks + 63) / 64;
    const int first = item.tile * per_tile_;
    blocks_ = min(per_tile_, s.num_blocks - first);
    mask_ = s.mask + (static_cast<int64_t>(item.head) * s.num_blocks + first) * words_;
    LoadWord();
  }

  // The next tile, or kEndOfItem.
  __device__ TileInfo Next() {
    if (!sparse_) {
      const TileInfo info = {next_ < num_tiles_ ? next_ : kEndOfItem, kAllGroups};
      ++next_;
      return info;
    }
    while (any_ == 0) {
      if (++word_ >= words_) return {kEndOfItem, 0};
      LoadWord();
    }
    const int bit = (__ffsll(static_cast<long long>(any_)) - 1) / per_tile_ * per_tile_;
    const uint64_t in_tile = (uint64_t{1} << per_tile_) - 1;
    any_ &= ~(in_tile << bit);
    uint32_t groups = 0;
#pragma unroll
    for (int b = 0; b < 4; ++b) groups |= Groups(row_[b] >> bit) << (4 * b);
    return {(word_ * 64 + bit) / per_tile_, groups};
  }

 private:
  __device__ void LoadWord() {
    any_ = 0;
#pragma unroll
    for (int b = 0; b < 4; ++b) {
      row_[b] = b < blocks_ && word_ < words_ ? mask_[b * words_ + word_] : 0;
      any_ |= row_[b];
    }
  }
  // One query block's bits of a tile as four 32-key groups.
  __device__ uint32_t Groups(uint64_t bits) const {
    const uint32_t low = static_cast<uint32_t>(bits);
    if (per_tile_ == 4) return low & 15u;
    if (per_tile_ == 2) return (low & 1) * 3u | ((low >> 1) & 1) * 12u;
    return (low & 1) * 15u;
  }

  bool sparse_;
  int num_tiles_;
  int next_ = 0;
  int per_tile_ = 1;
  int words_ = 0;
  int blocks_ = 0;
  int word_ = 0;
  const uint64_t* mask_ = nullptr;
  uint64_t row_[4] = {};
  uint64_t any_ = 0;
};

template <int kHeadDim>
__device__ void LoadBoxes(uint32_t shared, const CUtensorMap* map, int column, int row,
                          uint32_t barrier) {
#pragma unroll
  for (int box = 0; box < kHeadDim / kBoxColumns; ++box) {
    BulkLoad2d(shared + static_cast<uint32_t>(box) * kBoxBytes, map, column + box * kBoxColumns,
               row, barrier);
  }
}

template <int kHeadDim, bool kSelect>
__device__ void Produce(const AttentionLaunch& launch, const CUtensorMap* q_map,
                        const CUtensorMap* k_map, const CUtensorMap* v_map, uint32_t shared,
                        const Barriers& barriers, volatile TileInfo* tile_info) {
  using L = Layout<kHeadDim, kSelect>;
  Ring key, value;
  uint32_t query_parity = 0;
  for (int index = blockIdx.x; index < launch.num_items; index += gridDim.x) {
    const Item item = FindItem(launch, index);
    const AttentionItemRange& s = *item.sequence;
    const int kv_column = item.head / launch.group * kHeadDim;
    TileWalk walk(s, item);
    BarrierWait(barriers.QueryEmpty(), query_parity ^ 1);
    BarrierArriveExpect(barriers.QueryFull(), L::kTileBytes);
    LoadBoxes<kHeadDim>(shared + L::kQuery, q_map, item.head * kHeadDim,
                        s.first_row + item.tile * kItemRows, barriers.QueryFull());
    query_parity ^= 1;

    const auto load_value = [&](int tile) {
      BarrierWait(barriers.ValueEmpty(value.stage), value.parity ^ 1);
      BarrierArriveExpect(barriers.ValueFull(value.stage), L::kTileBytes);
      LoadBoxes<kHeadDim>(shared + L::kValue + static_cast<uint32_t>(value.stage) * L::kTileBytes,
                          v_map, kv_column, s.first_row + tile * kKeys,
                          barriers.ValueFull(value.stage));
      value.Advance();
    };
    int previous = kEndOfItem;
    while (true) {
      const TileInfo info = walk.Next();
      const bool end = info.tile == kEndOfItem;
      BarrierWait(barriers.KeyEmpty(key.stage), key.parity ^ 1);
      tile_info[key.stage].tile = info.tile;
      tile_info[key.stage].groups = info.groups;
      if (end) {
        BarrierArrive(barriers.KeyFull(key.stage));
      } else {
        BarrierArriveExpect(barriers.KeyFull(key.stage), L::kTileBytes);
        LoadBoxes<kHeadDim>(shared + L::kKey + static_cast<uint32_t>(key.stage) * L::kTileBytes,
                            k_map, kv_column, s.first_row + info.tile * kKeys,
                            barriers.KeyFull(key.stage));
      }
      key.Advance();
      if (previous != kEndOfItem) load_value(previous);
      if (end) break;
      previous = info.tile;
    }
  }
}

// The running state of a warpgroup's 64 rows; a thread holds two of them (wgmma_sm90.cuh).
template <int kHeadDim>
struct Rows {
  float out[kHeadDim / 2];
  float max[2];
  float sum[2];  // of this thread's columns
};

template <int kHeadDim>
__device__ void IssueScores(float (&s)[64], uint32_t query, uint32_t keys) {
#pragma unroll
  for (int step = 0; step < kHeadDim / 16; ++step) {
    const uint32_t offset = static_cast<uint32_t>(step / 4 * kBoxBytes + step % 4 * 32);
    Wgmma128(s, WgmmaDescriptor(query + offset, 16, 1024), WgmmaDescriptor(keys + offset, 16, 1024),
             step != 0);
  }
}

template <int kHeadDim>
__device__ void IssueValues(float (&out)[kHeadDim / 2], const uint32_t (&p)[8][4],
                            uint32_t values) {
#pragma unroll
  for (int step = 0; step < kKeys / 16; ++step) {
    const uint64_t b =
        WgmmaDescriptor(values + static_cast<uint32_t>(step) * 2048, kBoxBytes, 1024);
    if constexpr (kHeadDim == 128) {
      Wgmma128(out, p[step], b);
    } else {
      Wgmma64(out, p[step], b);
    }
  }
}

// Blanks the keys that do not exist and the groups that the warp's query block drops.
__device__ void Blank(float (&s)[64], int first_missing, uint32_t groups, int lane) {
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

__device__ float QuadMax(float v) {
  v = fmaxf(v, __shfl_xor_sync(0xffffffffu, v, 1));
  return fmaxf(v, __shfl_xor_sync(0xffffffffu, v, 2));
}
__device__ float QuadSum(float v) {
  v += __shfl_xor_sync(0xffffffffu, v, 1);
  return v + __shfl_xor_sync(0xffffffffu, v, 2);
}

// s becomes the probabilities relative to the new maximum; rescale is what the old ones need.
template <int kHeadDim>
__device__ void Softmax(Rows<kHeadDim>& rows, float (&s)[64], float scale, float (&rescale)[2],
                        float (&tile_sum)[2]) {
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    float tile_max = kNegativeInfinity;
#pragma unroll
    for (int j = 0; j < 16; ++j) {
      tile_max = fmaxf(tile_max, fmaxf(s[4 * j + 2 * r], s[4 * j + 2 * r + 1]));
    }
    const float new_max = fmaxf(rows.max[r], QuadMax(tile_max));
    const float base = new_max == kNegativeInfinity ? 0 : new_max * scale;
    rescale[r] = Exp2(rows.max[r] * scale - base);
    rows.max[r] = new_max;
    float sum = 0;
#pragma unroll
    for (int j = 0; j < 16; ++j) {
#pragma unroll
      for (int i = 4 * j + 2 * r; i < 4 * j + 2 * r + 2; ++i) {
        s[i] = Exp2(s[i] * scale - base);
        sum += s[i];
      }
    }
    tile_sum[r] = sum;
    rows.sum[r] = rows.sum[r] * rescale[r] + sum;
  }
}

__device__ void Pack(uint32_t (&p)[8][4], const float (&s)[64]) {
#pragma unroll
  for (int step = 0; step < 8; ++step) {
#pragma unroll
    for (int i = 0; i < 4; ++i) p[step][i] = PackBf16(s[8 * step + 2 * i], s[8 * step + 2 * i + 1]);
  }
}

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

// The selection mass of a row's four 32-key groups: sums over the quad of p ^ ratio.
__device__ void GroupMass(const float (&p)[64], int r, float ratio, float (&mass)[4]) {
#pragma unroll
  for (int g = 0; g < 4; ++g) mass[g] = 0;
  if (ratio == 1.0f) {
#pragma unroll
    for (int j = 0; j < 16; ++j) mass[j / 4] += p[4 * j + 2 * r] + p[4 * j + 2 * r + 1];
  } else {
#pragma unroll
    for (int j = 0; j < 16; ++j) {
      mass[j / 4] +=
          Exp2(ratio * __log2f(p[4 * j + 2 * r])) + Exp2(ratio * __log2f(p[4 * j + 2 * r + 1]));
    }
  }
#pragma unroll
  for (int g = 0; g < 4; ++g) mass[g] = QuadSum(mass[g]);
}

// What a select item needs at every tile, read once: kernel arguments are slow to reach.
struct MassStore {
  float* scratch;  // [block][row], at the thread's first row
  int per_tile;    // attention blocks of a tile
  int num_blocks;
  float ratio;
};

// Stores log2 of the selection mass of the tile's attention blocks for the thread's two rows.
__device__ void StoreMass(const float (&p)[64], const float (&tile_sum)[2], const float (&max)[2],
                          float scale, const MassStore& store, int tile, int lane) {
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const float base = max[r] * scale * store.ratio;
    if (store.per_tile == 1 && store.ratio == 1.0f) {
      const float mass = base + __log2f(QuadSum(tile_sum[r]));
      if (lane % 4 == 0) store.scratch[tile * kItemRows + 8 * r] = mass;
      continue;
    }
    float mass[4];
    GroupMass(p, r, store.ratio, mass);
    if (store.per_tile <= 2) {
      mass[0] += mass[1];
      mass[1] = mass[2] + mass[3];
    }
    if (store.per_tile == 1) mass[0] += mass[1];
    if (lane % 4 != 0) continue;
#pragma unroll
    for (int g = 0; g < 4; ++g) {
      const int block = tile * store.per_tile + g;
      if (g < store.per_tile && block < store.num_blocks) {
        store.scratch[block * kItemRows + 8 * r] = base + __log2f(mass[g]);
      }
    }
  }
}

template <int kHeadDim>
__device__ void StoreRows(const Rows<kHeadDim>& rows, const AttentionLaunch& launch,
                          const Item& item, int row, int lane) {
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const float total = QuadSum(rows.sum[r]);
    const float inverse = total > 0 ? 1.0f / total : 0.0f;
    const int token = item.tile * kItemRows + row + 8 * r;
    if (token >= item.sequence->num_tokens) continue;
    Bf16* out = launch.out +
                (static_cast<int64_t>(item.sequence->first_row) + token) * launch.out_stride +
                item.head * kHeadDim + (lane % 4) * 2;
#pragma unroll
    for (int j = 0; j < kHeadDim / 8; ++j) {
      *reinterpret_cast<uint32_t*>(out + j * 8) =
          PackBf16(rows.out[4 * j + 2 * r] * inverse, rows.out[4 * j + 2 * r + 1] * inverse);
    }
  }
}

// log2 of the whole mass of the thread's two rows, where the selection has the attention's scale.
template <int kHeadDim>
__device__ void StoreRowMass(const Rows<kHeadDim>& rows, float scale, int row, int lane,
                             float* row_mass) {
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const float total = QuadSum(rows.sum[r]);
    if (lane % 4 == 0) row_mass[row + 8 * r] = rows.max[r] * scale + log2f(total);
  }
}

constexpr int kTurnBarrier = 1;    // and the next: one a consumer warpgroup
constexpr int kSelectBarrier = 3;  // of both

template <int kHeadDim, bool kSelect>
__device__ void Consume(const AttentionLaunch& launch, uint8_t* shared_pointer, uint32_t shared,
                        const Barriers& barriers, const volatile TileInfo* tile_info) {
  using L = Layout<kHeadDim, kSelect>;
  const int group = static_cast<int>(threadIdx.x) / 128 - 1;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int row = group * 64 + static_cast<int>(threadIdx.x) % 128 / 32 * 16 + lane / 4;
  const int warp_row = row - lane / 4;
  const uint32_t query = shared + L::kQuery + static_cast<uint32_t>(group) * 64 * 128;
  float* scratch = launch.scratch + blockIdx.x * launch.scratch_floats;
  const float scale = launch.scale_log2;
  Ring key, value;
  uint32_t query_parity = 0;
  if (group == 1) NamedArrive<256>(kTurnBarrier);

  const auto release = [lane](uint32_t barrier) {
    __syncwarp();
    if (lane == 0) BarrierArrive(barrier);
  };
  for (int index = blockIdx.x; index < launch.num_items; index += gridDim.x) {
    const Item item = FindItem(launch, index);
    const AttentionItemRange& s = *item.sequence;
    const bool selecting = kSelect && s.mode == 1;
    const int num_tokens = s.num_tokens;
    const MassStore store = {scratch + row, kKeys / s.block_size, s.num_blocks, s.selection_ratio};
    const int group_shift = warp_row / s.block_size * 4;  // of the warp's query block

    Rows<kHeadDim> rows = {};
    rows.max[0] = rows.max[1] = kNegativeInfinity;
    float scores[64];
    float rescale[2];
    uint32_t p[8][4];

    // From scores to probabilities of the tile at hand.
    const auto soften = [&](int tile, uint32_t groups) {
      const uint32_t kept = groups >> group_shift & 15u;
      const int existing = num_tokens - tile * kKeys;
      if (kept != 15u || existing < kKeys) Blank(scores, existing, kept, lane);
      float tile_sum[2];
      Softmax(rows, scores, scale, rescale, tile_sum);
      if constexpr (kSelect) {
        if (selecting) StoreMass(scores, tile_sum, rows.max, scale, store, tile, lane);
      }
    };

    BarrierWait(barriers.QueryFull(), query_parity);
    query_parity ^= 1;
    BarrierWait(barriers.KeyFull(key.stage), key.parity);
    int tile = tile_info[key.stage].tile;
    uint32_t groups = tile_info[key.stage].groups;
    const bool any = tile != kEndOfItem;
    if (any) {
      NamedSync<256>(kTurnBarrier + group);
      WgmmaFence();
      IssueScores<kHeadDim>(scores, query,
                            shared + L::kKey + static_cast<uint32_t>(key.stage) * L::kTileBytes);
      WgmmaCommit();
      NamedArrive<256>(kTurnBarrier + (group ^ 1));
      WgmmaWait<0>();
      PinRegisters(scores);
      release(barriers.KeyEmpty(key.stage));
      key.Advance();
      soften(tile, groups);
      Pack(p, scores);
      while (true) {
        BarrierWait(barriers.KeyFull(key.stage), key.parity);
        tile = tile_info[key.stage].tile;
        groups = tile_info[key.stage].groups;
        if (tile == kEndOfItem) break;
        NamedSync<256>(kTurnBarrier + group);
        WgmmaFence();
        IssueScores<kHeadDim>(scores, query,
                              shared + L::kKey + static_cast<uint32_t>(key.stage) * L::kTileBytes);
        WgmmaCommit();
        BarrierWait(barriers.ValueFull(value.stage), value.parity);
        WgmmaFence();
        IssueValues<kHeadDim>(
            rows.out, p, shared + L::kValue + static_cast<uint32_t>(value.stage) * L::kTileBytes);
        WgmmaCommit();
        NamedArrive<256>(kTurnBarrier + (group ^ 1));
        WgmmaWait<1>();
        PinRegisters(scores);
        release(barriers.KeyEmpty(key.stage));
        key.Advance();
        soften(tile, groups);
        WgmmaWait<0>();
        PinRegisters(rows.out);
        release(barriers.ValueEmpty(value.stage));
        value.Advance();
        Pack(p, scores);
        Rescale(rows, rescale);
      }
    }
    release(barriers.QueryEmpty());
    release(barriers.KeyEmpty(key.stage));
    key.Advance();
    if (any) {
      BarrierWait(barriers.ValueFull(value.stage), value.parity);
      WgmmaFence();
      IssueValues<kHeadDim>(
          rows.out, p, shared + L::kValue + static_cast<uint32_t>(value.stage) * L::kTileBytes);
      WgmmaCommit();
      WgmmaWait<0>();
      PinRegisters(rows.out);
      release(barriers.ValueEmpty(value.stage));
      value.Advance();
    }
    StoreRows(rows, launch, item, row, lane);
    if constexpr (kSelect) {
      if (selecting) {
        float* const selection = reinterpret_cast<float*>(shared_pointer + L::kSelection);
        if (store.ratio == 1.0f) StoreRowMass(rows, scale, row, lane, selection);
        Select(s, item, scratch, store.ratio == 1.0f, selection,
               [] { NamedSync<256>(kSelectBarrier); });
      }
    }
  }
}

template <int kHeadDim, bool kSelect>
__global__ void __launch_bounds__(kThreads, 1)
    AttentionKernel(const __grid_constant__ AttentionLaunch launch,
                    const __grid_constant__ CUtensorMap q_map,
                    const __grid_constant__ CUtensorMap k_map,
                    const __grid_constant__ CUtensorMap v_map) {
  using L = Layout<kHeadDim, kSelect>;
  extern __shared__ uint8_t raw[];
  uint8_t* shared_pointer = raw + ((1024 - SharedAddress(raw) % 1024) % 1024);
  const uint32_t shared = SharedAddress(shared_pointer);
  const Barriers barriers{shared + L::kBarriers};
  auto* tile_info = reinterpret_cast<volatile TileInfo*>(shared_pointer + L::kTileInfo);
  if (threadIdx.x == 0) {
    BarrierInit(barriers.QueryFull(), 1);
    BarrierInit(barriers.QueryEmpty(), kConsumerWarps);
    for (int stage = 0; stage < kStages; ++stage) {
      BarrierInit(barriers.KeyFull(stage), 1);
      BarrierInit(barriers.KeyEmpty(stage), kConsumerWarps);
      BarrierInit(barriers.ValueFull(stage), 1);
      BarrierInit(barriers.ValueEmpty(stage), kConsumerWarps);
    }
    FenceBarrierInit();
  }
  __syncthreads();
  if (threadIdx.x < 128) {
    ShrinkRegisters<56>();
    if (threadIdx.x == 0) {
      PrefetchMap(&q_map);
      PrefetchMap(&k_map);
      PrefetchMap(&v_map);
      Produce<kHeadDim, kSelect>(launch, &q_map, &k_map, &v_map, shared, barriers, tile_info);
    }
  } else {
    GrowRegisters<224>();
    Consume<kHeadDim, kSelect>(launch, shared_pointer, shared, barriers, tile_info);
  }
}

template <int kHeadDim, bool kSelect>
cudaError_t Launch(const AttentionLaunch& launch, const AttentionMaps& maps, int32_t grid,
                   cudaStream_t stream) {
  const auto kernel = AttentionKernel<kHeadDim, kSelect>;
  constexpr int kBytes = Layout<kHeadDim, kSelect>::kBytes;
  if (const cudaError_t error =
          cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes);
      error != cudaSuccess) {
    return error;
  }
  kernel<<<static_cast<unsigned>(grid), kThreads, kBytes, stream>>>(launch, maps.q, maps.k, maps.v);
  return cudaGetLastError();
}

}  // namespace

cudaError_t LaunchAttentionSm90(const AttentionLaunch& launch, const AttentionMaps& maps,
                                int32_t head_dim, bool select, int32_t grid, cudaStream_t stream) {
  if (launch.num_items == 0) return cudaSuccess;
  if (head_dim == 64) {
    return select ? Launch<64, true>(launch, maps, grid, stream)
                  : Launch<64, false>(launch, maps, grid, stream);
  }
  if (head_dim == 128) {
    return select ? Launch<128, true>(launch, maps, grid, stream)
                  : Launch<128, false>(launch, maps, grid, stream);
  }
  return cudaErrorInvalidValue;
}

}  // namespace sparsed::kernels::cuda
