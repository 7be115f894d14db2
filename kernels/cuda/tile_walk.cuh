// The 128-key tiles of an attention item in the order in which they are loaded. Device code only.
#pragma once

#include "kernels/cuda/split_items.cuh"

namespace sparsed::kernels::cuda {

constexpr int kKeys = 128;  // of a tile

// What the producer tells of a tile: its number, and for each of the item's query blocks in turn
// which of its four 32-key groups are kept; kLastTile with the item's last one. An item that keeps
// nothing is one tile of which nothing is kept. Tiles fit 14 bits: two million tokens.
struct TileInfo {
  int tile;
  uint32_t groups;
};
constexpr int kNoTile = -1;
constexpr uint32_t kAllGroups = 0xFFFFu;
constexpr uint32_t kLastTile = 0x10000u;

// As one word: bits 0 to 16 the groups and kLastTile, above them the tile.
constexpr int kTileBits = 17;
__device__ inline uint32_t PackTile(const TileInfo& info) {
  return static_cast<uint32_t>(info.tile) << kTileBits | info.groups;
}
__device__ inline TileInfo UnpackTile(uint32_t word) {
  return {static_cast<int>(word) >> kTileBits, word & (kAllGroups | kLastTile)};
}

// Walks the tiles that any of the item's query blocks keeps, in ascending order.
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

  // Leaves out the tiles before `tile`. Before the first Next only.
  __device__ void SkipTo(int tile) {
    next_ = tile;
    if (!sparse_) return;
    word_ = tile * per_tile_ / 64;
    LoadWord();
    any_ &= ~uint64_t{0} << (tile * per_tile_ % 64);
  }

  // The next tile, or kNoTile.
  __device__ TileInfo Next() {
    if (!sparse_) {
      const TileInfo info = {next_ < num_tiles_ ? next_ : kNoTile, kAllGroups};
      ++next_;
      return info;
    }
    while (any_ == 0) {
      if (++word_ >= words_) return {kNoTile, 0};
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

// Walks those of the item's tiles that lie in its chunk of the keys.
class ChunkWalk {
 public:
  __device__ ChunkWalk(const AttentionItemRange& s, const SplitItem& item) : walk_(s, item) {
    const KeyChunk chunk = KeyChunkAt(s.num_tokens, item.chunk);
    walk_.SkipTo(chunk.first);
    end_ = chunk.end;
  }

  // The next tile, or kNoTile. Not to be called again after kNoTile.
  __device__ TileInfo Next() {
    const TileInfo info = walk_.Next();
    return info.tile < end_ ? info : TileInfo{kNoTile, 0};
  }

 private:
  TileWalk walk_;
  int end_;
};

}  // namespace sparsed::kernels::cuda
