// How the CUDA backend parts the keys of a split query range: which chunks there are, which item of
// a launch has which, and which launches a call takes.
#include "kernels/cuda/key_chunks.h"

#include <set>
#include <tuple>
#include <vector>

#include "kernels/cuda/split_plan.h"
#include "tests/testing/catch.h"

namespace sparsed::kernels::cuda {
namespace {

AttentionSequence SplitRange(int64_t num_tokens, int64_t first_token, int64_t num_queries,
                             int64_t first_query_row) {
  AttentionSequence sequence;
  sequence.first_row = 64 * num_tokens;  // tells the sequences of a test apart
  sequence.num_tokens = num_tokens;
  sequence.queries = QueryRange{first_token, num_queries, first_query_row, /*split=*/true};
  return sequence;
}

// All launches of a call; checks what holds for each.
std::vector<std::vector<AttentionSequence>> Launches(
    const std::vector<AttentionSequence>& sequences, int32_t heads, int64_t most_items,
    size_t most_sequences) {
  std::vector<std::vector<AttentionSequence>> launches;
  SplitPlan plan(sequences, heads, most_items, most_sequences);
  for (auto part = plan.Next(); !part.empty(); part = plan.Next()) {
    int64_t items = 0;
    for (const AttentionSequence& sequence : part) {
      items += (sequence.queries->num_tokens + 127) / 128 * heads *
               NumKeyChunks(static_cast<int32_t>(sequence.num_tokens));
    }
    REQUIRE(items <= most_items);
    REQUIRE(part.size() <= most_sequences);
    launches.emplace_back(part.begin(), part.end());
  }
  REQUIRE(plan.Next().empty());
  return launches;
}

TEST_CASE("the chunks of a sequence's keys are its tiles in ascending order, each once") {
  for (const int32_t tokens : {1, 127, 128, 1024, 1025, 2049, 4096, 16384, 16385, 65536, 65664,
                               100001, 131072, 262144, 1 << 21}) {
    CAPTURE(tokens);
    const int32_t chunks = NumKeyChunks(tokens);
    REQUIRE(chunks >= 1);
    REQUIRE(chunks <= kMostKeyChunks);
    int32_t next = 0;
    for (int32_t chunk = 0; chunk < chunks; ++chunk) {
      const KeyChunk tiles = KeyChunkAt(tokens, chunk);
      REQUIRE(tiles.first == next);
      REQUIRE(tiles.end > tiles.first);
      if (chunk + 1 < chunks) REQUIRE(tiles.end - tiles.first == KeyChunkTiles(tokens));
      next = tiles.end;
    }
    REQUIRE(next == (tokens + 127) / 128);
  }
  CHECK(NumKeyChunks(1024) == 1);
  CHECK(NumKeyChunks(1025) == 2);
  CHECK(NumKeyChunks(4096) == 4);
  CHECK(NumKeyChunks(16384) == 16);
  CHECK(NumKeyChunks(131072) == 16);
}

TEST_CASE("the items of a split range are every head, query tile and chunk once") {
  constexpr int32_t kHeads = 3;
  constexpr int32_t kChunks = 5;
  constexpr int32_t kTiles = 2;
  std::set<std::tuple<int32_t, int32_t, int32_t>> seen;
  for (int32_t index = 0; index < kHeads * kChunks * kTiles; ++index) {
    const ChunkItem item = ChunkItemAt(index, kChunks, kTiles);
    REQUIRE(ChunkItemIndex(item, kChunks, kTiles) == index);
    REQUIRE(item.head < kHeads);
    REQUIRE(item.chunk < kChunks);
    REQUIRE(item.query_tile < kTiles);
    REQUIRE(seen.emplace(item.head, item.chunk, item.query_tile).second);
  }
  // A query tile's chunks are kTiles items apart.
  CHECK(ChunkItemIndex({1, 3, 1}, kChunks, kTiles) - ChunkItemIndex({1, 2, 1}, kChunks, kTiles) ==
        kTiles);
}

TEST_CASE("keys are parted where the range says so and there is more than one chunk") {
  AttentionSequence sequence = SplitRange(4096, 0, 128, 0);  // 4 chunks
  CHECK(SplitsKeys(sequence, 32, 128));
  CHECK_FALSE(SplitsKeys(sequence, 32, 127));  // not even one query tile would fit
  sequence.queries->num_tokens = 4096;         // however many they are
  CHECK(SplitsKeys(sequence, 32, 128));
  sequence.queries->split = false;
  CHECK_FALSE(SplitsKeys(sequence, 32, 128));
  sequence.queries.reset();
  CHECK_FALSE(SplitsKeys(sequence, 32, 128));
  CHECK_FALSE(SplitsKeys(SplitRange(1024, 0, 128, 0), 32, 128));
}

TEST_CASE("the launches of split ranges have every query tile once, in order") {
  const std::vector<AttentionSequence> sequences = {
      SplitRange(2000, 128, 256, 64),    // 2 chunks, 2 query tiles
      SplitRange(2000, 1920, 80, 384),   // to the end
      SplitRange(9000, 0, 9000, 512),    // 9 chunks, 71 tiles: more than a launch
      SplitRange(1500, 1408, 92, 9600),  // 2 chunks
  };
  for (const int32_t heads : {1, 4}) {
    for (const int64_t most_items : {int64_t{9} * heads, int64_t{100}, int64_t{100000}}) {
      for (const size_t most_sequences : {size_t{1}, size_t{3}, size_t{32}}) {
        CAPTURE(heads, most_items, most_sequences);
        size_t current = 0;
        int64_t done = 0;
        for (const auto& launch : Launches(sequences, heads, most_items, most_sequences)) {
          for (const AttentionSequence& part : launch) {
            const QueryRange& all = *sequences[current].queries;
            REQUIRE(part.first_row == sequences[current].first_row);
            REQUIRE(part.num_tokens == sequences[current].num_tokens);
            REQUIRE(part.queries->first_token == all.first_token + done);
            REQUIRE(part.queries->first_row == all.first_row + done);
            done += part.queries->num_tokens;
            REQUIRE((done == all.num_tokens || part.queries->num_tokens % 128 == 0));
            if (done == all.num_tokens) {
              ++current;
              done = 0;
            }
          }
        }
        REQUIRE(current == sequences.size());
      }
    }
  }
  CHECK(Launches(sequences, 4, 100000, 32).size() == 1);
  CHECK(Launches(sequences, 4, 36, 32).size() == 1 + 71 + 1);
}

}  // namespace
}  // namespace sparsed::kernels::cuda
