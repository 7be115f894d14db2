// The selection beside a full pass, against the double-precision oracle.

#include "kernels/cpu/selection.h"

#include <algorithm>
#include <numeric>

#include "tests/testing/catch.h"
#include "tests/unit/kernels/attention_fixture.h"
#include "tests/unit/kernels/attention_oracle.h"

namespace sparsed::kernels {
namespace {

constexpr int32_t kHeads = 3;

struct Selected {
  Selected(Problem& problem, int32_t block_size, const BlockSelection& selection, Isa isa)
      : mask(kHeads, problem.q.rows, block_size), sequence(problem.Whole()) {
    const int64_t blocks = mask.view.num_blocks;
    importance.assign(static_cast<size_t>(kHeads * blocks * blocks), kNaN);
    canvas.assign(static_cast<size_t>(kHeads * blocks * (blocks - selection.first_canvas_block)),
                  kNaN);
    std::fill(mask.bits.begin(), mask.bits.end(), ~uint64_t{0});
    sequence.mode = AttentionMode::kFullSelect;
    sequence.mask = mask.view;
    sequence.selection = selection;
    sequence.selection.importance = importance.data();
    sequence.selection.canvas_importance = canvas.data();
    const auto backend = MakeBackend(isa, 2);
    REQUIRE(problem.Run(*backend, {sequence}).ok());
  }
  Mask mask;
  AttentionSequence sequence;
  std::vector<float> importance;
  std::vector<float> canvas;
};

double RelativeError(const std::vector<float>& actual, const std::vector<double>& expected) {
  MaxError error;
  for (size_t i = 0; i < expected.size(); ++i) {
    error.Add(actual[i] / (expected[i] + 1e-12), expected[i] / (expected[i] + 1e-12));
  }
  return error.value();
}

// Counts columns of [first, last) whose bit contradicts the `keep` best of `values` outside of a
// relative band of 1e-5 around the last one kept.
int WrongColumns(const Mask& mask, int64_t head, int64_t row, const double* values, int64_t count,
                 int32_t keep, int64_t first_column, int64_t end_column) {
  if (count == 0) return 0;
  std::vector<double> sorted(values, values + count);
  std::sort(sorted.begin(), sorted.end(), std::greater<>());
  const double least_kept = sorted[static_cast<size_t>(keep - 1)];
  const double best_dropped = keep < count ? sorted[static_cast<size_t>(keep)] : -1.0;
  int wrong = 0;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t column = first_column + i;
    if (column >= end_column) continue;
    const bool kept = mask.Has(head, row, column);
    if (kept && values[i] < least_kept * (1 - 1e-5)) ++wrong;
    if (!kept && values[i] > best_dropped * (1 + 1e-5)) ++wrong;
  }
  return wrong;
}

int WrongBits(const Selected& selected, const OracleImportance& oracle) {
  const BlockSelection& selection = selected.sequence.selection;
  const int64_t blocks = selected.mask.view.num_blocks;
  const int64_t first = selection.first_canvas_block;
  int wrong = 0;
  for (int64_t head = 0; head < kHeads; ++head) {
    for (int64_t row = 0; row < blocks; ++row) {
      const int64_t at = head * blocks + row;
      wrong +=
          WrongColumns(selected.mask, head, row, &oracle.full[static_cast<size_t>(at * blocks)],
                       blocks, selection.keep_prompt, 0, first);
      wrong += WrongColumns(selected.mask, head, row,
                            &oracle.canvas[static_cast<size_t>(at * (blocks - first))],
                            blocks - first, selection.keep_canvas, first, blocks);
      // Bits at and above the number of blocks are zero.
      if (blocks < 64 && selected.mask.view.Row(head, row)[0] >> blocks != 0) ++wrong;
    }
  }
  return wrong;
}

TEST_CASE("importances and patterns match two double-precision softmaxes") {
  const int32_t block_size = GENERATE(32, 64, 128);
  const int64_t tokens = GENERATE(33, 129, 300, 420);
  const int32_t kv_heads = GENERATE(1, 3);
  // 0: the attention's scale; else 1 / sqrt(heads), as the published LLaDA code.
  const bool heads_scale = GENERATE(false, true);
  const bool isolated = GENERATE(true, false);
  CAPTURE(block_size, tokens, kv_heads, heads_scale, isolated);
  Problem problem(tokens, kHeads, kv_heads, 64, 51);
  for (float& value : problem.q.data) value *= 2.0f;
  const int32_t blocks = static_cast<int32_t>((tokens + block_size - 1) / block_size);
  BlockSelection selection;
  selection.first_canvas_block = isolated ? blocks / 2 : blocks;
  const int32_t canvas_blocks = blocks - selection.first_canvas_block;
  selection.keep_prompt = std::min(blocks, blocks * 3 / 10 + 1);
  selection.keep_canvas = std::min(canvas_blocks, canvas_blocks * 3 / 10 + 1);
  selection.scale = heads_scale ? 1.0f / std::sqrt(3.0f) : problem.params.scale;
  const double tolerance = heads_scale ? 2e-4 : 2e-5;
  OracleImportance oracle;
  for (const Isa isa : SupportedIsas()) {
    CAPTURE(isa);
    const Selected selected(problem, block_size, selection, isa);
    if (oracle.full.empty()) oracle = OracleImportances(problem.params, selected.sequence);
    CHECK(RelativeError(selected.importance, oracle.full) < tolerance);
    CHECK(RelativeError(selected.canvas, oracle.canvas) < tolerance);
    CHECK(WrongBits(selected, oracle) == 0);
  }
}

TEST_CASE("each head keeps its own counts, where it has some") {
  const bool isolated = GENERATE(true, false);
  const int64_t tokens = 420;
  const int32_t blocks = 14;
  Problem problem(tokens, kHeads, 1, 64, 55);
  BlockSelection selection;
  selection.first_canvas_block = isolated ? 9 : blocks;
  selection.keep_prompt = 3;
  selection.keep_canvas = isolated ? 2 : 0;
  selection.scale = problem.params.scale;
  std::vector<int32_t> counts = {1, 5, 14, 1, 6, 3};
  if (!isolated) counts = {1, 0, 14, 0, 6, 0};
  const Selected same(problem, 32, selection, SupportedIsas().back());
  selection.head_counts = counts.data();
  const Selected own(problem, 32, selection, SupportedIsas().back());
  CHECK(SameBits(own.importance, same.importance));
  const auto canvas_blocks = static_cast<size_t>(blocks - selection.first_canvas_block);
  for (size_t head = 0; head < kHeads; ++head) {
    BlockSelection of_head = selection;
    of_head.keep_prompt = counts[2 * head];
    of_head.keep_canvas = counts[2 * head + 1];
    for (size_t row = head * blocks; row < (head + 1) * blocks; ++row) {
      uint64_t expected = 0;
      std::vector<int32_t> order;
      SelectBlocks(of_head, std::span(own.importance).subspan(row * blocks, blocks),
                   std::span(own.canvas).subspan(row * canvas_blocks, canvas_blocks), &expected,
                   order);
      CHECK(own.mask.bits[row] == expected);
    }
  }
}

TEST_CASE("the output of a selecting pass is the full pass, bit for bit") {
  const int64_t tokens = GENERATE(1, 33, 300);
  Problem problem(tokens, kHeads, 1, 64, 61);
  for (const Isa isa : SupportedIsas()) {
    REQUIRE(problem.Run(*MakeBackend(isa, 2), {problem.Whole()}).ok());
    const std::vector<float> full = problem.out.data;
    const BlockSelection selection = {
        .first_canvas_block = 0, .keep_prompt = 1, .keep_canvas = 1, .scale = 0.5f};
    const Selected selected(problem, 128, selection, isa);
    CHECK(SameBits(problem.out.data, full));
  }
}

TEST_CASE("keeping as many blocks as there are keeps all, and nothing beyond them") {
  Problem problem(545, kHeads, 1, 64, 71);
  const BlockSelection selection = {
      .first_canvas_block = 9, .keep_prompt = 18, .keep_canvas = 9, .scale = problem.params.scale};
  const Selected selected(problem, 32, selection, SupportedIsas().back());
  for (const uint64_t row : selected.mask.bits) REQUIRE(row == (uint64_t{1} << 18) - 1);
}

TEST_CASE("a range of queries selects what its blocks select among all, and nothing else") {
  const int32_t block_size = GENERATE(32, 64, 128);
  const int64_t tokens = 700;
  CAPTURE(block_size);
  Problem problem(tokens, kHeads, 1, 64, 91);
  const int64_t n = (tokens + block_size - 1) / block_size;
  const BlockSelection selection = {.first_canvas_block = static_cast<int32_t>(n / 2),
                                    .keep_prompt = 2,
                                    .keep_canvas = 1,
                                    .scale = problem.params.scale};
  const Selected whole(problem, block_size, selection, SupportedIsas().back());
  const std::vector<float> whole_out = problem.out.data;
  for (const QueryRange& range : {QueryRange{128, 128, 128}, QueryRange{640, 60, 640}}) {
    CAPTURE(range.first_token);
    const int64_t first = range.first_token / block_size;
    const int64_t blocks = (range.num_tokens + block_size - 1) / block_size;
    Mask mask(kHeads, tokens, block_size);
    std::fill(mask.bits.begin(), mask.bits.end(), ~uint64_t{0});
    std::vector<float> importance(static_cast<size_t>(kHeads * blocks * n), kNaN);
    AttentionSequence sequence = whole.sequence;
    sequence.queries = range;
    sequence.mask = mask.view;
    sequence.selection.importance = importance.data();
    sequence.selection.canvas_importance = nullptr;
    REQUIRE(problem.Run(*MakeBackend(SupportedIsas().back(), 2), {sequence}).ok());
    const int64_t at = range.first_row * problem.out.cols;
    CHECK(SameBits(&problem.out.data[at], &whole_out[at],
                   static_cast<size_t>(range.num_tokens * problem.out.cols)));
    for (int64_t head = 0; head < kHeads; ++head) {
      for (int64_t row = 0; row < n; ++row) {
        const bool asked = row >= first && row < first + blocks;
        CHECK(mask.view.Row(head, row)[0] ==
              (asked ? whole.mask.view.Row(head, row)[0] : ~uint64_t{0}));
        if (!asked) continue;
        CHECK(SameBits(&importance[(head * blocks + row - first) * n],
                       &whole.importance[(head * n + row) * n], static_cast<size_t>(n)));
      }
    }
  }
}

TEST_CASE("equal importances go to the lower columns") {
  Problem problem(320, kHeads, 1, 64, 81);
  std::fill(problem.k.data.begin(), problem.k.data.end(), 0.0f);
  const BlockSelection selection = {
      .first_canvas_block = 6, .keep_prompt = 4, .keep_canvas = 2, .scale = problem.params.scale};
  const Selected selected(problem, 32, selection, SupportedIsas().back());
  for (const uint64_t row : selected.mask.bits) REQUIRE(row == 0b0011001111u);
}

TEST_CASE("canvas columns that win among all use up places of the prompt side") {
  const std::vector<float> importance = {0.1f, 0.4f, 0.3f, 0.9f, 0.8f};
  const std::vector<float> canvas = {0.5f, 0.6f};
  const BlockSelection selection = {
      .first_canvas_block = 3, .keep_prompt = 3, .keep_canvas = 1, .scale = 1};
  uint64_t row = ~uint64_t{0};
  std::vector<int32_t> order;
  SelectBlocks(selection, importance, canvas, &row, order);
  CHECK(row == 0b10010u);
}

TEST_CASE("without a canvas side all columns are ranked together") {
  const std::vector<float> importance = {0.1f, 0.4f, 0.3f, 0.9f, 0.8f};
  const BlockSelection selection = {
      .first_canvas_block = 5, .keep_prompt = 3, .keep_canvas = 0, .scale = 1};
  uint64_t row = ~uint64_t{0};
  std::vector<int32_t> order;
  SelectBlocks(selection, importance, {}, &row, order);
  CHECK(row == 0b11010u);
}

TEST_CASE("selection works beyond 64 columns and stays whole with NaNs") {
  std::vector<float> importance(130, 0.25f);
  importance[129] = kNaN;
  importance[70] = 0.5f;
  importance[3] = 0.75f;
  std::vector<float> canvas(importance.begin() + 100, importance.end());
  const BlockSelection selection = {
      .first_canvas_block = 100, .keep_prompt = 4, .keep_canvas = 2, .scale = 1};
  std::vector<uint64_t> row(3, ~uint64_t{0});
  std::vector<int32_t> order;
  SelectBlocks(selection, importance, canvas, row.data(), order);
  CHECK(row[0] == ((uint64_t{1} << 3) | 1));
  CHECK(row[1] == ((uint64_t{1} << (70 - 64)) | (uint64_t{1} << (100 - 64))));
  CHECK(row[2] == uint64_t{1} << (129 - 128));
}

}  // namespace
}  // namespace sparsed::kernels
