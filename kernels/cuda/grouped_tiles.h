// Which tiles a grouped product has: those of its experts one after the other, as many as their
// rows need. On the device the rows of an expert are known, on the host only their sum is.
#pragma once

#include <cstdint>

namespace sparsed::kernels::cuda {

inline constexpr int32_t kGroupedTileRows = 128;
inline constexpr int32_t kGroupedTileCols = 128;

struct GroupedTile {
  int32_t expert = 0;
  int32_t first_slot = 0;  // of the tile
  int32_t rows = 0;        // in [1, kGroupedTileRows]
  int32_t first_col = 0;
};

constexpr int32_t GroupedTileColumns(int32_t out_features) {
  return (out_features + kGroupedTileCols - 1) / kGroupedTileCols;
}

// Walks the tiles in ascending order, in steps of any size.
class GroupedTileWalk {
 public:
  constexpr GroupedTileWalk(const int32_t* first_slots, int32_t num_experts, int32_t out_features)
      : first_slots_(first_slots),
        num_experts_(num_experts),
        columns_(GroupedTileColumns(out_features)) {}

  // Tile `index`; no smaller than in the calls before. False: there are not so many.
  constexpr bool Find(int32_t index, GroupedTile& tile) {
    for (; expert_ < num_experts_; ++expert_) {
      const int32_t first = first_slots_[expert_];
      const int32_t count = first_slots_[expert_ + 1] - first;
      const int32_t row_tiles = (count + kGroupedTileRows - 1) / kGroupedTileRows;
      const int32_t local = index - first_tile_;
      if (local >= row_tiles * columns_) {
        first_tile_ += row_tiles * columns_;
        continue;
      }
      // Tiles that read the same part of the weight follow each other.
      const int32_t skipped = local % row_tiles * kGroupedTileRows;
      tile.expert = expert_;
      tile.first_slot = first + skipped;
      tile.rows = count - skipped < kGroupedTileRows ? count - skipped : kGroupedTileRows;
      tile.first_col = local / row_tiles * kGroupedTileCols;
      return true;
    }
    return false;
  }

 private:
  const int32_t* first_slots_;
  int32_t num_experts_;
  int32_t columns_;
  int32_t expert_ = 0;
  int32_t first_tile_ = 0;  // of expert_
};

// At least as many as there are, whoever gets the slots.
constexpr int64_t MostGroupedTiles(int64_t slots, int64_t num_experts, int32_t out_features) {
  const int64_t used = slots < num_experts ? slots : num_experts;
  return (slots / kGroupedTileRows + used) * GroupedTileColumns(out_features);
}

}  // namespace sparsed::kernels::cuda
