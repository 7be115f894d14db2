// How the keys of a split query range are parted among items. It depends on the number of the
// sequence's tokens alone, so that a row's bits do not depend on its batch or the device.
#pragma once

#include <cstdint>

namespace sparsed::kernels::cuda {

inline constexpr int32_t kKeyTileTokens = 128;
// Fewer tiles do not pay for writing a chunk's output and reading it again; with so many chunks a
// single query tile of 28 or 32 heads keeps a large card busy.
inline constexpr int32_t kLeastChunkTiles = 8;
inline constexpr int32_t kMostKeyChunks = 16;

// Key tiles [first, end).
struct KeyChunk {
  int32_t first = 0;
  int32_t end = 0;
};

constexpr int32_t KeyTiles(int32_t num_tokens) {
  return (num_tokens + kKeyTileTokens - 1) / kKeyTileTokens;
}

// Tiles of a chunk; the last one may have fewer.
constexpr int32_t KeyChunkTiles(int32_t num_tokens) {
  const int32_t tiles = (KeyTiles(num_tokens) + kMostKeyChunks - 1) / kMostKeyChunks;
  return tiles < kLeastChunkTiles ? kLeastChunkTiles : tiles;
}

// At least 1, at most kMostKeyChunks.
constexpr int32_t NumKeyChunks(int32_t num_tokens) {
  const int32_t tiles = KeyChunkTiles(num_tokens);
  return (KeyTiles(num_tokens) + tiles - 1) / tiles;
}

constexpr KeyChunk KeyChunkAt(int32_t num_tokens, int32_t chunk) {
  const int32_t tiles = KeyChunkTiles(num_tokens);
  const int32_t all = KeyTiles(num_tokens);
  const int32_t end = (chunk + 1) * tiles;
  return {chunk * tiles, end < all ? end : all};
}

// An item of a split range: a chunk of the keys, for one of the range's query tiles and one head.
// Items that read the same keys follow each other.
struct ChunkItem {
  int32_t head = 0;
  int32_t chunk = 0;
  int32_t query_tile = 0;  // of the range
};

constexpr int32_t ChunkItemIndex(const ChunkItem& item, int32_t num_chunks, int32_t query_tiles) {
  return (item.head * num_chunks + item.chunk) * query_tiles + item.query_tile;
}
constexpr ChunkItem ChunkItemAt(int32_t index, int32_t num_chunks, int32_t query_tiles) {
  return {index / query_tiles / num_chunks, index / query_tiles % num_chunks, index % query_tiles};
}

// What an item leaves in the scratch, in floats: its output before the division [128][D], log2 of
// what that is relative to [128], the sum of the probabilities [128].
constexpr int64_t PartialFloats(int32_t head_dim) { return int64_t{128} * (head_dim + 2); }

}  // namespace sparsed::kernels::cuda
