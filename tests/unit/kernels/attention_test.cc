// Attention against the double-precision oracle.

#include "tests/testing/catch.h"
#include "tests/unit/kernels/attention_fixture.h"
#include "tests/unit/kernels/attention_oracle.h"

namespace sparsed::kernels {
namespace {

// Measured: below 2e-6 for standard normal inputs at every shape here.
constexpr double kTolerance = 6e-6;

struct Shape {
  int64_t tokens;
  int32_t heads;
  int32_t kv_heads;
  int32_t head_dim;
};

// Every token of short sequences, every 37th of long ones.
double ErrorOf(const Problem& problem, const AttentionSequence& sequence) {
  MaxError error;
  const int64_t stride = sequence.num_tokens > 160 ? 37 : 1;
  for (int64_t token = 0; token < sequence.num_tokens; token += stride) {
    for (int64_t head = 0; head < problem.params.num_heads; ++head) {
      const std::vector<double> expected = OracleRow(problem.params, sequence, token, head);
      for (int64_t d = 0; d < problem.params.head_dim; ++d) {
        error.Add(problem.out.at(sequence.first_row + token, head * problem.params.head_dim + d),
                  expected[static_cast<size_t>(d)]);
      }
    }
  }
  return error.value();
}

TEST_CASE("full attention matches the oracle at every shape and instruction set") {
  const Shape shape = GENERATE(Shape{1, 1, 1, 64}, Shape{31, 3, 1, 64}, Shape{32, 3, 3, 128},
                               Shape{33, 6, 6, 64}, Shape{127, 6, 2, 16}, Shape{128, 6, 1, 128},
                               Shape{129, 1, 1, 64}, Shape{300, 6, 6, 64}, Shape{65, 2, 1, 48},
                               Shape{65, 1, 1, 256}, Shape{1000, 3, 3, 64});
  CAPTURE(shape.tokens, shape.heads, shape.kv_heads, shape.head_dim);
  Problem problem(shape.tokens, shape.heads, shape.kv_heads, shape.head_dim, 7);
  for (const Isa isa : SupportedIsas()) {
    CAPTURE(isa);
    const auto backend = MakeBackend(isa, 2);
    REQUIRE(problem.Run(*backend, {problem.Whole()}).ok());
    CHECK(ErrorOf(problem, problem.Whole()) < kTolerance);
  }
}

TEST_CASE("sparse attention matches the oracle for random masks") {
  const int32_t block_size = GENERATE(32, 64, 128);
  const int64_t tokens = GENERATE(33, 300, 1000);
  const int32_t kv_heads = GENERATE(1, 3);
  CAPTURE(block_size, tokens, kv_heads);
  Problem problem(tokens, 3, kv_heads, 64, 11);
  Mask mask(3, tokens, block_size);
  mask.KeepRandom(0.4, 5);
  for (const Isa isa : SupportedIsas()) {
    CAPTURE(isa);
    const auto backend = MakeBackend(isa, 2);
    REQUIRE(problem.Run(*backend, {problem.Sparse(mask)}).ok());
    CHECK(ErrorOf(problem, problem.Sparse(mask)) < kTolerance);
  }
}

TEST_CASE("special masks: nothing, one block, only the last block") {
  const int32_t block_size = GENERATE(32, 64, 128);
  const int64_t tokens = 290;
  Problem problem(tokens, 2, 1, 64, 3);
  const auto backend = MakeBackend(SupportedIsas().back(), 1);
  SECTION("an empty row is 0, its neighbours are not") {
    Mask mask(2, tokens, block_size);
    mask.KeepWhere([](int64_t head, int64_t row, int64_t) { return head == 0 && row != 1; });
    REQUIRE(problem.Run(*backend, {problem.Sparse(mask)}).ok());
    CHECK(ErrorOf(problem, problem.Sparse(mask)) < kTolerance);
    CHECK(problem.out.at(block_size, 5) == 0.0f);
    CHECK(problem.out.at(0, 64) == 0.0f);
    CHECK(problem.out.at(0, 5) != 0.0f);
  }
  SECTION("one block") {
    Mask mask(2, tokens, block_size);
    mask.KeepWhere([](int64_t, int64_t, int64_t column) { return column == 1; });
    REQUIRE(problem.Run(*backend, {problem.Sparse(mask)}).ok());
    CHECK(ErrorOf(problem, problem.Sparse(mask)) < kTolerance);
  }
  SECTION("only the last block, which is partial") {
    Mask mask(2, tokens, block_size);
    const int64_t last = mask.view.num_blocks - 1;
    mask.KeepWhere([last](int64_t, int64_t, int64_t column) { return column == last; });
    REQUIRE(problem.Run(*backend, {problem.Sparse(mask)}).ok());
    CHECK(ErrorOf(problem, problem.Sparse(mask)) < kTolerance);
  }
}

TEST_CASE("extreme scores stay finite and exact") {
  Problem problem(200, 1, 1, 64, 9);
  for (float& value : problem.q.data) value *= 40.0f;
  const auto backend = MakeBackend(SupportedIsas().back(), 2);
  SECTION("scores of several hundred, positive and negative") {
    REQUIRE(problem.Run(*backend, {problem.Whole()}).ok());
    // The rounding of a score of 300 is an error of 1e-5 in its exponential.
    CHECK(ErrorOf(problem, problem.Whole()) < 2e-4);
  }
  SECTION("one dominant key a row: its value alone") {
    for (int64_t d = 0; d < 64; ++d) {
      for (int64_t row = 0; row < 200; ++row) {
        problem.q.at(row, d) = 1.0f;
        problem.k.at(row, d) = row == 150 ? 30.0f : -30.0f;
      }
    }
    REQUIRE(problem.Run(*backend, {problem.Whole()}).ok());
    for (int64_t d = 0; d < 64; ++d) REQUIRE(problem.out.at(17, d) == problem.v.at(150, d));
  }
}

TEST_CASE("values planted by block show exactly which blocks were read") {
  const int32_t block_size = GENERATE(32, 64, 128);
  const int64_t tokens = 1000;
  Problem problem(tokens, 2, 1, 64, 21);
  std::fill(problem.v.data.begin(), problem.v.data.end(), 0.0f);
  for (int64_t token = 0; token < tokens; ++token) problem.v.at(token, token / block_size) = 1.0f;
  Mask mask(2, tokens, block_size);
  mask.KeepRandom(0.3, 8);
  for (const Isa isa : SupportedIsas()) {
    const auto backend = MakeBackend(isa, 2);
    REQUIRE(problem.Run(*backend, {problem.Sparse(mask)}).ok());
    int wrong = 0;
    for (int64_t token = 0; token < tokens; ++token) {
      for (int64_t head = 0; head < 2; ++head) {
        for (int64_t column = 0; column < mask.view.num_blocks; ++column) {
          const bool read = problem.out.at(token, head * 64 + column) > 0;
          if (read != mask.Has(head, token / block_size, column)) ++wrong;
        }
      }
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("unselected keys and values, and rows outside of the sequences, are never used") {
  const int32_t block_size = GENERATE(32, 64, 128);
  const int64_t tokens = 420;
  const int64_t first_row = 5;
  Problem problem(first_row + tokens + 9, 3, 1, 64, 31);
  Mask mask(3, tokens, block_size);
  mask.KeepWhere([](int64_t, int64_t, int64_t column) { return column % 3 == 1; });
  for (int64_t row = 0; row < problem.q.rows; ++row) {
    const int64_t token = row - first_row;
    const bool outside = token < 0 || token >= tokens;
    for (int64_t d = 0; d < 64; ++d) {
      if (outside || token / block_size % 3 != 1)
        problem.k.at(row, d) = problem.v.at(row, d) = kNaN;
      if (outside) problem.q.at(row, d) = kNaN;
    }
  }
  AttentionSequence sequence = problem.Sparse(mask);
  sequence.first_row = first_row;
  sequence.num_tokens = tokens;
  for (const Isa isa : SupportedIsas()) {
    const auto backend = MakeBackend(isa, 2);
    REQUIRE(problem.Run(*backend, {sequence}).ok());
    CHECK(ErrorOf(problem, sequence) < kTolerance);
    CHECK(std::isnan(problem.out.at(first_row - 1, 0)));
    CHECK(std::isnan(problem.out.at(first_row + tokens, 0)));
  }
}

TEST_CASE("a NaN that is selected reaches the output") {
  Problem problem(100, 1, 1, 64, 2);
  const auto backend = MakeBackend(SupportedIsas().back(), 1);
  problem.k.at(70, 3) = kNaN;
  REQUIRE(problem.Run(*backend, {problem.Whole()}).ok());
  CHECK(std::isnan(problem.out.at(0, 0)));
  CHECK(std::isnan(problem.out.at(99, 63)));
}

TEST_CASE("arguments that do not fit are refused by name") {
  Problem problem(100, 2, 1, 64, 2);
  const auto backend = MakeBackend(SupportedIsas().back(), 1);
  const auto error = [&](const AttentionSequence& sequence) {
    const absl::Status status = problem.Run(*backend, {sequence});
    CHECK(status.code() == absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  Mask mask(2, 100, 32);
  AttentionSequence sequence = problem.Sparse(mask);
  SECTION("block size") {
    sequence.mask.block_size = 16;
    CHECK(error(sequence).find("block_size") != std::string::npos);
  }
  SECTION("mask of another length") {
    sequence.mask.num_blocks = 3;
    CHECK(error(sequence).find("mask") != std::string::npos);
  }
  SECTION("rows outside") {
    sequence.num_tokens = 101;
    CHECK(error(sequence).find("rows") != std::string::npos);
  }
  SECTION("more blocks than there are") {
    sequence.mode = AttentionMode::kFullSelect;
    sequence.selection = {.first_canvas_block = 2, .keep_prompt = 5, .keep_canvas = 1, .scale = 1};
    CHECK(error(sequence).find("keep_prompt") != std::string::npos);
  }
  SECTION("queries off the tiles, or beyond the sequence or the rows") {
    sequence.mode = AttentionMode::kFull;
    for (const QueryRange& range :
         {QueryRange{64, 36, 0}, QueryRange{0, 101, 0}, QueryRange{0, 99, 0}, QueryRange{0, 0, 0},
          QueryRange{0, 100, 1}}) {
      sequence.queries = range;
      CHECK(error(sequence).find("queries") != std::string::npos);
    }
  }
  SECTION("a selection by queries that are split") {
    sequence.mode = AttentionMode::kFullSelect;
    sequence.selection = {.first_canvas_block = 2, .keep_prompt = 1, .keep_canvas = 1, .scale = 1};
    sequence.queries = QueryRange{0, 100, 0, /*split=*/true};
    CHECK(error(sequence).find("split") != std::string::npos);
  }
  SECTION("a canvas side that keeps nothing, or is kept where there is none") {
    sequence.mode = AttentionMode::kFullSelect;
    sequence.selection = {.first_canvas_block = 3, .keep_prompt = 1, .keep_canvas = 0, .scale = 1};
    CHECK(error(sequence).find("keep_canvas") != std::string::npos);
    sequence.selection.first_canvas_block = 4;
    sequence.selection.keep_canvas = 1;
    CHECK(error(sequence).find("keep_canvas") != std::string::npos);
    sequence.selection.first_canvas_block = 5;
    CHECK(error(sequence).find("first_canvas_block") != std::string::npos);
  }
  SECTION("counts of one head that are out of their limits") {
    sequence.mode = AttentionMode::kFullSelect;
    sequence.selection = {.first_canvas_block = 2, .keep_prompt = 1, .keep_canvas = 1, .scale = 1};
    std::vector<int32_t> counts = {4, 2, 5, 2};
    sequence.selection.head_counts = counts.data();
    CHECK(error(sequence).find("keep_prompt") != std::string::npos);
    counts = {4, 2, 4, 0};
    CHECK(error(sequence).find("keep_canvas") != std::string::npos);
  }
  SECTION("head_dim") {
    problem.params.head_dim = 24;
    CHECK(error(sequence).find("head_dim") != std::string::npos);
  }
}

}  // namespace
}  // namespace sparsed::kernels
