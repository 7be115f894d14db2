// What must not change a bit of a row: a mask that keeps everything, the batch, the place in it,
// the threads.

#include "tests/testing/catch.h"
#include "tests/unit/kernels/attention_fixture.h"

namespace sparsed::kernels {
namespace {

TEST_CASE("a mask that keeps everything equals full attention bit for bit") {
  const int32_t block_size = GENERATE(32, 64, 128);
  const int64_t tokens = GENERATE(1, 31, 32, 33, 127, 128, 129, 300, 1000);
  CAPTURE(block_size, tokens);
  Problem problem(tokens, 3, 1, 64, 13);
  Mask mask(3, tokens, block_size);
  mask.KeepAll();
  for (const Isa isa : SupportedIsas()) {
    CAPTURE(isa);
    const auto backend = MakeBackend(isa, 2);
    REQUIRE(problem.Run(*backend, {problem.Whole()}).ok());
    const std::vector<float> full = problem.out.data;
    REQUIRE(problem.Run(*backend, {problem.Sparse(mask)}).ok());
    CHECK(SameBits(problem.out.data, full));
  }
}

AttentionSequence Rows(int64_t first_row, int64_t num_tokens, AttentionMode mode) {
  AttentionSequence sequence;
  sequence.first_row = first_row;
  sequence.num_tokens = num_tokens;
  sequence.mode = mode;
  return sequence;
}

// A batch of five sequences in all modes, with unused rows between them.
struct Batch {
  Batch()
      : problem(700, 6, 3, 64, 17),
        sparse32(6, 300, 32),
        sparse128(6, 129, 128),
        selected(6, 170, 64) {
    sparse32.KeepRandom(0.3, 1);
    sparse128.KeepRandom(0.5, 2);
    sequences = {Rows(0, 33, AttentionMode::kFull), Rows(40, 300, AttentionMode::kSparse),
                 Rows(341, 1, AttentionMode::kFull), Rows(345, 129, AttentionMode::kSparse),
                 Rows(500, 170, AttentionMode::kFullSelect)};
    sequences[1].mask = sparse32.view;
    sequences[3].mask = sparse128.view;
    sequences[4].mask = selected.view;
    sequences[4].selection = {
        .first_canvas_block = 1, .keep_prompt = 2, .keep_canvas = 1, .scale = problem.params.scale};
  }
  Problem problem;
  Mask sparse32;
  Mask sparse128;
  Mask selected;
  std::vector<AttentionSequence> sequences;
};

TEST_CASE("a sequence gives the same bits alone, elsewhere and in a mixed batch") {
  Batch batch;
  Problem& packed = batch.problem;
  for (const Isa isa : SupportedIsas()) {
    CAPTURE(isa);
    const auto backend = MakeBackend(isa, 2);
    REQUIRE(packed.Run(*backend, batch.sequences).ok());
    const std::vector<uint64_t> mask_in_batch = batch.selected.bits;
    for (const AttentionSequence& in_batch : batch.sequences) {
      CAPTURE(in_batch.num_tokens);
      Problem alone(in_batch.num_tokens, 6, 3, 64, 0);
      const auto copy = [&](const Matrix& from, Matrix& to) {
        std::copy_n(from.data.begin() + in_batch.first_row * from.cols, to.data.size(),
                    to.data.begin());
      };
      copy(packed.q, alone.q);
      copy(packed.k, alone.k);
      copy(packed.v, alone.v);
      AttentionSequence sequence = in_batch;
      sequence.first_row = 0;
      std::fill(batch.selected.bits.begin(), batch.selected.bits.end(), 0);
      REQUIRE(alone.Run(*backend, {sequence}).ok());
      CHECK(SameBits(alone.out.data.data(), &packed.out.at(in_batch.first_row, 0),
                     alone.out.data.size()));
      if (sequence.mode == AttentionMode::kFullSelect) CHECK(batch.selected.bits == mask_in_batch);
    }
  }
}

TEST_CASE("a range of queries gives the bits that its rows have among all queries") {
  const int32_t block_size = GENERATE(32, 64, 128);
  const int64_t tokens = 700;
  const int64_t first_row = 9;
  CAPTURE(block_size);
  Problem all(first_row + tokens, 6, 3, 64, 17);
  Mask mask(6, tokens, block_size);
  mask.KeepRandom(0.4, 3);
  for (const bool sparse : {false, true}) {
    AttentionSequence sequence = sparse ? all.Sparse(mask) : all.Whole();
    sequence.first_row = first_row;
    sequence.num_tokens = tokens;
    const auto backend = MakeBackend(SupportedIsas().back(), 2);
    REQUIRE(all.Run(*backend, {sequence}).ok());
    Matrix expected = all.out;
    // Tokens 128..383 and 640..699, in rows of their own, before another sequence. The processor's
    // backend splits no keys.
    const std::vector<QueryRange> ranges = {{128, 256, 70}, {640, 60, 3, /*split=*/true}};
    Matrix q(400, all.q.cols, kNaN);
    Matrix out(400, all.out.cols, kNaN);
    std::vector<AttentionSequence> sequences;
    for (const QueryRange& range : ranges) {
      std::copy_n(all.q.data.begin() + (first_row + range.first_token) * q.cols,
                  range.num_tokens * q.cols, q.data.begin() + range.first_row * q.cols);
      sequence.queries = range;
      sequences.push_back(sequence);
    }
    sequences.push_back(Rows(0, 9, AttentionMode::kFull));
    sequences.back().queries = QueryRange{0, 9, 390};
    std::copy_n(all.q.data.begin(), 9 * q.cols, q.data.begin() + 390 * q.cols);
    AttentionParams params = all.params;
    params.q = q.view();
    params.out = out.view();
    params.sequences = sequences;
    REQUIRE(backend->Attention(params).ok());
    for (const QueryRange& range : ranges) {
      CHECK(SameBits(&out.at(range.first_row, 0), &expected.at(first_row + range.first_token, 0),
                     range.num_tokens * q.cols));
    }
    CHECK(std::isnan(out.at(2, 0)));
    CHECK(std::isnan(out.at(63, 0)));
    CHECK(std::isnan(out.at(69, 0)));
    CHECK(std::isnan(out.at(326, 0)));
    CHECK(!std::isnan(out.at(390, 0)));
  }
}

TEST_CASE("the number of threads changes no bit") {
  Batch batch;
  for (const Isa isa : SupportedIsas()) {
    CAPTURE(isa);
    REQUIRE(batch.problem.Run(*MakeBackend(isa, 1), batch.sequences).ok());
    const std::vector<float> one = batch.problem.out.data;
    const std::vector<uint64_t> mask_of_one = batch.selected.bits;
    for (const int threads : {2, 3}) {
      REQUIRE(batch.problem.Run(*MakeBackend(isa, threads), batch.sequences).ok());
      CHECK(SameBits(batch.problem.out.data, one));
      CHECK(batch.selected.bits == mask_of_one);
    }
  }
}

TEST_CASE("columns of a wider matrix give the bits of dense ones") {
  Problem dense(150, 2, 2, 64, 41);
  const auto backend = MakeBackend(SupportedIsas().back(), 2);
  REQUIRE(dense.Run(*backend, {dense.Whole()}).ok());
  Matrix fused(150, 3 * 128, kNaN);
  for (int64_t row = 0; row < 150; ++row) {
    for (int64_t c = 0; c < 128; ++c) {
      fused.at(row, c) = dense.q.at(row, c);
      fused.at(row, 128 + c) = dense.k.at(row, c);
      fused.at(row, 256 + c) = dense.v.at(row, c);
    }
  }
  Matrix out(150, 128, kNaN);
  AttentionParams params = dense.params;
  params.q = fused.view().Columns(0, 128);
  params.k = fused.view().Columns(128, 128);
  params.v = fused.view().Columns(256, 128);
  params.out = out.view();
  const AttentionSequence sequence = dense.Whole();
  params.sequences = {&sequence, 1};
  REQUIRE(backend->Attention(params).ok());
  CHECK(SameBits(out.data, dense.out.data));
}

}  // namespace
}  // namespace sparsed::kernels
