// Query ranges whose keys the device parts among items, against float64 and against themselves.
// Without a device the cases have nothing to run on and say so.
#include "kernels/cuda/key_chunks.h"
#include "tests/unit/kernels/cuda_attention_batch.h"

namespace sparsed::kernels {
namespace {

constexpr AttentionMode kFull = AttentionMode::kFull;
constexpr AttentionMode kSparse = AttentionMode::kSparse;

// The last query tile of `tokens`, which may be a part, or another one.
QueryRange SplitTile(int tokens, int tile = -1) {
  const int64_t first = tile < 0 ? (tokens - 1) / 128 * 128 : tile * 128;
  return {first, std::min<int64_t>(128, tokens - first), 0, /*split=*/true};
}

// Rows of `part`, which Run(ranges) gave, of its range number `index`.
std::vector<uint16_t> RowsOf(const Batch& batch, const std::vector<uint16_t>& part,
                             const std::vector<QueryRange>& ranges, size_t index) {
  const int64_t cols = batch.shape.heads * batch.shape.head_dim;
  int64_t row = 0;
  for (size_t i = 0; i < index; ++i) row += AlignUp(ranges[i].num_tokens);
  const auto first = part.begin() + row * cols;
  return {first, first + ranges[index].num_tokens * cols};
}

// Keeps, in every row of a kSparse sequence's mask, these key blocks alone.
void KeepBlocks(Batch& batch, size_t sequence, const std::vector<int>& blocks) {
  BlockMaskView mask = batch.masks[sequence];
  std::vector<uint64_t>& bits = batch.host_masks[sequence];
  std::fill(bits.begin(), bits.end(), 0);
  mask.bits = bits.data();
  for (int head = 0; head < mask.num_heads; ++head) {
    for (int row = 0; row < mask.num_blocks; ++row) {
      for (const int block : blocks) mask.Row(head, row)[block / 64] |= uint64_t{1} << (block % 64);
    }
  }
  REQUIRE(batch.backend.CopyIn(batch.masks[sequence].bits, bits.data(), bits.size() * 8).ok());
}

TEST_CASE("on the device a split query range keeps the accuracy of a plain bf16 implementation") {
  const bool portable = GENERATE(false, true);
  const auto device = Device(portable);
  if (!device) return;
  struct Size {
    Shape shape;
    int tokens;
  };
  uint32_t seed = 100;
  for (const auto& [shape, tokens] :
       {Size{{28, 4, 128}, 1029}, Size{{4, 1, 128}, 2309}, Size{{2, 2, 64}, 5000},
        Size{{3, 3, 64}, 1152}, Size{{1, 1, 64}, 16385}}) {
    REQUIRE(cuda::NumKeyChunks(tokens) > 1);
    std::vector<Case> cases = {{tokens, kFull}, {tokens, kFull}};
    for (const int block : {32, 64, 128}) {
      for (const double density : {0.0, 0.03, 0.4}) {
        cases.push_back({tokens, kSparse, block, 0, 1, 1, density});
      }
    }
    Batch batch(*device, shape, cases, seed++);
    std::vector<QueryRange> ranges(cases.size(), SplitTile(tokens));
    ranges[1] = SplitTile(tokens, 2);
    const auto got = batch.Run(ranges);
    for (size_t i = 0; i < cases.size(); ++i) {
      double own = 0;
      double plain = 0;
      QueryRange range = ranges[i];
      range.first_row = 0;
      batch.RangeErrors(RowsOf(batch, got, ranges, i), i, range, &own, &plain);
      INFO("portable " << portable << " heads " << shape.heads << "/" << shape.kv_heads << " dim "
                       << shape.head_dim << " tokens " << tokens << " block " << cases[i].block_size
                       << " density " << cases[i].density << " case " << i);
      REQUIRE(own <= 2 * plain + 1e-5);
    }
  }
}

TEST_CASE("on the device a split range with a mask that keeps everything equals a full one") {
  const bool portable = GENERATE(false, true);
  const auto device = Device(portable);
  if (!device) return;
  for (const Shape& shape : {Shape{7, 1, 128}, Shape{3, 1, 64}}) {
    for (const int tokens : {1025, 2309, 4100}) {
      Batch full(*device, shape, {{tokens, kFull}}, 41);
      const std::vector<QueryRange> ranges = {SplitTile(tokens)};
      const auto want = full.Run(ranges);
      for (const int block : {32, 64, 128}) {
        INFO("portable " << portable << " dim " << shape.head_dim << " tokens " << tokens
                         << " block " << block);
        Batch sparse(*device, shape, {{tokens, kSparse, block, 0, 1, 1, 1.1}}, 41);
        REQUIRE(sparse.Run(ranges) == want);
      }
      for (int repeat = 0; repeat < 50; ++repeat) REQUIRE(full.Run(ranges) == want);
    }
  }
}

TEST_CASE("on the device a split row depends neither on its batch nor on the range around it") {
  const bool portable = GENERATE(false, true);
  const auto device = Device(portable);
  if (!device) return;
  for (const Shape& shape : {Shape{2, 1, 128}, Shape{2, 2, 64}}) {
    // Split ones; some that are not, as they are short or do not say so; several tiles.
    std::vector<Case> cases;
    std::vector<QueryRange> ranges;
    for (int i = 0; i < 50; ++i) {
      const int tokens = i % 15 == 5 ? 900 : 1030 + 177 * i % 1400;
      cases.push_back({tokens, i % 2 == 0 ? kFull : kSparse, 32 << (i % 3), 0, 1, 1, 0.2});
      ranges.push_back(SplitTile(tokens, i % 4 == 0 ? -1 : i % 7));
      if (i % 3 == 1) {
        ranges.back().num_tokens = std::min<int64_t>(256, tokens - ranges.back().first_token);
      }
      if (i == 7) ranges.back().split = false;
    }
    ranges[3] = {0, cases[3].tokens, 0, /*split=*/true};
    Batch batch(*device, shape, cases, 43);
    const auto together = batch.Run(ranges);
    for (size_t i = 0; i < cases.size(); ++i) {
      INFO("portable " << portable << " dim " << shape.head_dim << " sequence " << i);
      Batch alone(*device, shape, {cases[i]}, 44);
      const auto first = batch.host.begin() + batch.first_rows[i] * batch.width;
      alone.host.assign(first, first + alone.rows * alone.width);
      alone.qkv = Upload(*device, alone.host);
      REQUIRE(device
                  ->CopyIn(alone.masks[0].bits, batch.host_masks[i].data(),
                           batch.host_masks[i].size() * 8)
                  .ok());
      // Its first tile alone.
      const std::vector<QueryRange> tile = {{ranges[i].first_token,
                                             std::min<int64_t>(128, ranges[i].num_tokens), 0,
                                             ranges[i].split}};
      const auto want = RowsOf(alone, alone.Run(tile), tile, 0);
      const auto got = RowsOf(batch, together, ranges, i);
      REQUIRE(std::equal(want.begin(), want.end(), got.begin()));
    }
  }
}

// 33 query tiles of 28 heads in 5 chunks: more items than the scratch holds.
TEST_CASE("on the device a split range that takes several launches has the rows of its tiles") {
  const bool portable = GENERATE(false, true);
  const auto device = Device(portable);
  if (!device) return;
  const int tokens = 4200;
  const Shape shape = {28, 4, 128};
  REQUIRE(int64_t{33} * 28 * cuda::NumKeyChunks(tokens) * cuda::PartialFloats(128) * 4 >
          static_cast<int64_t>(cuda::kAttentionScratchBytes));
  Batch batch(*device, shape, {{tokens, kSparse, 64, 0, 1, 1, 0.5}}, 45);
  const std::vector<QueryRange> whole = {{0, tokens, 0, /*split=*/true}};
  const auto all = RowsOf(batch, batch.Run(whole), whole, 0);
  for (const int tile : {0, 16, 17, 18, 31, 32}) {
    INFO("portable " << portable << " tile " << tile);
    const std::vector<QueryRange> ranges = {SplitTile(tokens, tile)};
    const auto want = RowsOf(batch, batch.Run(ranges), ranges, 0);
    REQUIRE(std::equal(want.begin(), want.end(),
                       all.begin() + int64_t{tile} * 128 * shape.heads * shape.head_dim));
  }
}

TEST_CASE("on the device chunks that keep nothing leave a split row as it is") {
  const bool portable = GENERATE(false, true);
  const auto device = Device(portable);
  if (!device) return;
  const int tokens = 4200;  // 33 tiles in chunks of 8
  REQUIRE(cuda::KeyChunkTiles(tokens) == 8);
  for (const Shape& shape : {Shape{4, 2, 128}, Shape{4, 4, 64}}) {
    for (const std::vector<int>& kept : std::vector<std::vector<int>>{
             {0}, {7}, {8}, {15, 16}, {32}, {3, 20}, {7, 8, 31, 32}, {}}) {
      INFO("portable " << portable << " dim " << shape.head_dim << " first kept "
                       << (kept.empty() ? -1 : kept.front()) << " of " << kept.size());
      Batch batch(*device, shape, {{tokens, kSparse, 128}}, 46);
      KeepBlocks(batch, 0, kept);
      const std::vector<QueryRange> ranges = {SplitTile(tokens)};
      const auto want = RowsOf(batch, batch.Run(ranges), ranges, 0);
      double own = 0;
      double plain = 0;
      batch.RangeErrors(want, 0, ranges[0], &own, &plain);
      REQUIRE(own <= 2 * plain + 1e-5);
      if (kept.empty()) {
        REQUIRE(std::all_of(want.begin(), want.end(),
                            [](uint16_t bits) { return FromBits(bits) == 0; }));
      }
      // What is dropped is not looked at: NaN in its keys and values.
      for (int token = 0; token < tokens; ++token) {
        if (std::find(kept.begin(), kept.end(), token / 128) != kept.end()) continue;
        const auto row = batch.host.begin() + token * batch.width;
        std::fill(row + shape.heads * shape.head_dim, row + batch.width, uint16_t{0x7fc0});
      }
      batch.qkv = Upload(*device, batch.host);
      REQUIRE(RowsOf(batch, batch.Run(ranges), ranges, 0) == want);
    }
  }
}

TEST_CASE("on the device a split range of a short sequence is that of the whole") {
  const bool portable = GENERATE(false, true);
  const auto device = Device(portable);
  if (!device) return;
  const Shape shape = {4, 2, 128};
  for (const int tokens : {1, 130, 1024}) {
    Batch batch(*device, shape, {{tokens, kFull}}, 47);
    std::vector<QueryRange> ranges = {SplitTile(tokens)};
    const auto split = batch.Run(ranges);
    ranges[0].split = false;
    REQUIRE(batch.Run(ranges) == split);
  }
}

TEST_CASE("on the device a split range selects nothing") {
  const auto device = Device();
  if (!device) return;
  Batch batch(*device, {1, 1, 64}, {{300, AttentionMode::kFullSelect}}, 48);
  std::vector<AttentionSequence> sequences = batch.Sequences();
  AttentionParams params = batch.Params();
  params.sequences = sequences;
  sequences[0].queries = SplitTile(300, 0);
  REQUIRE(device->Attention(params).code() == absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace sparsed::kernels
