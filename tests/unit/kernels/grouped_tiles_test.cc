// The tiles of a grouped product, as the blocks of the CUDA kernel walk them: every row and column
// of every expert once, whoever the walkers are.
#include "kernels/cuda/grouped_tiles.h"

#include <map>
#include <numeric>
#include <random>
#include <vector>

#include "tests/testing/catch.h"

namespace sparsed::kernels::cuda {
namespace {

constexpr int32_t kColumns = 300;  // 2 tiles and a part

// Every tile that `walkers` blocks find, by the columns and slots it covers.
std::vector<GroupedTile> WalkAll(const std::vector<int32_t>& first_slots, int32_t walkers) {
  const auto experts = static_cast<int32_t>(first_slots.size()) - 1;
  std::vector<GroupedTile> tiles;
  for (int32_t walker = 0; walker < walkers; ++walker) {
    GroupedTileWalk walk(first_slots.data(), experts, kColumns);
    GroupedTile tile;
    for (int32_t index = walker; walk.Find(index, tile); index += walkers) tiles.push_back(tile);
  }
  return tiles;
}

std::vector<int32_t> FirstSlots(const std::vector<int32_t>& counts) {
  std::vector<int32_t> first = {0};
  for (const int32_t count : counts) first.push_back(first.back() + count);
  return first;
}

void CheckTiles(const std::vector<int32_t>& counts, int32_t walkers) {
  CAPTURE(counts, walkers);
  const std::vector<int32_t> first_slots = FirstSlots(counts);
  std::map<std::pair<int32_t, int32_t>, int32_t> expert_of;  // of (slot, column tile)
  const std::vector<GroupedTile> tiles = WalkAll(first_slots, walkers);
  for (const GroupedTile& tile : tiles) {
    REQUIRE(tile.rows >= 1);
    REQUIRE(tile.rows <= kGroupedTileRows);
    REQUIRE(tile.first_col % kGroupedTileCols == 0);
    REQUIRE(tile.first_col < kColumns);
    for (int32_t slot = tile.first_slot; slot < tile.first_slot + tile.rows; ++slot) {
      REQUIRE(expert_of.emplace(std::pair(slot, tile.first_col), tile.expert).second);
    }
  }
  REQUIRE(expert_of.size() == size_t{3} * first_slots.back());
  for (const auto& [place, expert] : expert_of) {
    REQUIRE(place.first >= first_slots[expert]);
    REQUIRE(place.first < first_slots[expert + 1]);
  }
  REQUIRE(static_cast<int64_t>(tiles.size()) <=
          MostGroupedTiles(first_slots.back(), static_cast<int64_t>(counts.size()), kColumns));
}

TEST_CASE("a grouped product's tiles cover every slot and column once") {
  for (const int32_t walkers : {1, 2, 7, 264}) {
    CheckTiles({0}, walkers);
    CheckTiles({1}, walkers);
    CheckTiles({0, 0, 5, 0}, walkers);
    CheckTiles({128, 129, 127, 256, 1}, walkers);
    CheckTiles({0, 1000, 0, 0}, walkers);
    std::mt19937 random(1);
    std::vector<int32_t> counts(64);
    for (int32_t& count : counts) count = static_cast<int32_t>(random() % 400);
    CheckTiles(counts, walkers);
  }
}

TEST_CASE("no more tiles are expected of a grouped product than it may have") {
  CHECK(MostGroupedTiles(0, 64, kColumns) == 0);
  CHECK(MostGroupedTiles(1, 64, kColumns) == 3);
  CHECK(MostGroupedTiles(130, 2, kColumns) == 9);
}

}  // namespace
}  // namespace sparsed::kernels::cuda
