// SampleRows, CommitRows and the generator below them.

#include <array>
#include <set>

#include "kernels/rng.h"
#include "tests/testing/catch.h"
#include "tests/unit/kernels/kernel_testing.h"

namespace sparsed::kernels {
namespace {

struct Sampled {
  std::vector<int32_t> tokens;
  std::vector<float> confidences;
  std::vector<float> log_probabilities;
};

Sampled Sample(Matrix& logits, const std::vector<SampleRow>& rows, int threads = 2) {
  CpuBackend backend({.threads = threads, .isa = {}});
  Sampled result = {std::vector<int32_t>(rows.size(), -1), std::vector<float>(rows.size(), -1.0f),
                    std::vector<float>(rows.size(), 1.0f)};
  REQUIRE(backend
              .SampleRows(logits.view(), rows,
                          {result.tokens.data(), result.confidences.data(),
                           result.log_probabilities.data()})
              .ok());
  return result;
}

double Probability(const Matrix& logits, int64_t row, int64_t token) {
  double sum = 0;
  for (int64_t v = 0; v < logits.cols; ++v) {
    sum += std::exp(static_cast<double>(logits.at(row, v)) - logits.at(row, token));
  }
  return 1.0 / sum;
}

TEST_CASE("Philox4x32-10 gives the published answers") {
  CHECK(Philox4x32({0, 0, 0, 0}, 0, 0) ==
        PhiloxBlock{0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u});
  CHECK(Philox4x32({~0u, ~0u, ~0u, ~0u}, ~0u, ~0u) ==
        PhiloxBlock{0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu});
  CHECK(Philox4x32({0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u}, 0xa4093822u,
                   0x299f31d0u) == PhiloxBlock{0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u});
}

TEST_CASE("uniform numbers never reach 0 or 1") {
  CHECK(OpenUniform(0, 0) > 0.0);
  CHECK(OpenUniform(~0u, ~0u) < 1.0);
}

TEST_CASE("greedy: argmax, ties to the lowest id, confidence its probability") {
  for (const int64_t vocab : {1, 7, 8, 33, 4096}) {
    Matrix logits = RandomMatrix(3, vocab, 1, 2.0f);
    logits.at(1, vocab - 1) = logits.at(1, vocab / 2) = 9.0f;
    const Sampled sampled = Sample(logits, {{.row = 0}, {.row = 1}, {.row = 2}});
    CHECK(sampled.tokens[1] == vocab / 2);
    for (size_t i = 0; i < 3; ++i) {
      const float* row = &logits.at(static_cast<int64_t>(i), 0);
      CHECK(sampled.tokens[i] == std::max_element(row, row + vocab) - row);
      CHECK(sampled.confidences[i] ==
            Approx(Probability(logits, static_cast<int64_t>(i), sampled.tokens[i])).epsilon(2e-6));
    }
  }
}

TEST_CASE("many tiny probabilities beside a certain token are not lost") {
  // Together 1.6e-7, spread over all lanes; each, and each lane's share of them, is below half a
  // unit in the last place of 1.
  Matrix logits = RandomMatrix(1, 4096, 1, 0.0f);
  for (int64_t v = 0; v < 4096; ++v) logits.at(0, v) = std::log(1.6e-7f / 4095);
  logits.at(0, 5) = 0;
  const Sampled sampled = Sample(logits, {{.row = 0}});
  CHECK(sampled.tokens[0] == 5);
  CHECK(sampled.confidences[0] < 1.0f);
}

TEST_CASE("a NaN makes the confidence NaN under every rule") {
  Matrix logits = RandomMatrix(2, 50, 2);
  logits.at(0, 49) = kNaN;
  const Sampled sampled = Sample(logits, {{.row = 0},
                                          {.row = 0, .rule = ConfidenceRule::kRandom},
                                          {.row = 0, .temperature = 1.0f},
                                          {.row = 1}});
  CHECK(std::isnan(sampled.confidences[0]));
  CHECK(std::isnan(sampled.confidences[1]));
  CHECK(std::isnan(sampled.confidences[2]));
  CHECK(sampled.confidences[3] > 0);
  for (const int32_t token : sampled.tokens) CHECK((token >= 0 && token < 50));
}

TEST_CASE("guidance: l = u + (cfg_scale + 1)(c - u), written over the row") {
  Matrix logits = RandomMatrix(2, 40, 3);
  const Matrix before = logits;
  const Sampled sampled = Sample(logits, {{.row = 0, .uncond_row = 1, .cfg_scale = 1.5f}});
  for (int64_t v = 0; v < 40; ++v) {
    const float u = before.at(1, v);
    CHECK(logits.at(0, v) == Approx(u + 2.5f * (before.at(0, v) - u)).margin(1e-6));
    CHECK(logits.at(1, v) == u);
  }
  CHECK(sampled.confidences[0] == Approx(Probability(logits, 0, sampled.tokens[0])).epsilon(2e-6));
}

TEST_CASE("with temperature tokens follow softmax(l / T), confidence stays untempered") {
  constexpr int kDraws = 20000;
  constexpr int64_t kVocab = 9;
  const float temperature = 0.7f;
  Matrix logits = RandomMatrix(1, kVocab, 4);
  std::vector<SampleRow> rows(kDraws);
  for (int i = 0; i < kDraws; ++i) {
    rows[static_cast<size_t>(i)] = {.row = 0,
                                    .temperature = temperature,
                                    .seed = 42,
                                    .step = static_cast<uint32_t>(i / 100),
                                    .position = static_cast<uint32_t>(i % 100)};
  }
  const Sampled sampled = Sample(logits, rows);
  Matrix tempered = logits;
  for (float& value : tempered.data) value /= temperature;
  std::vector<int> counts(kVocab, 0);
  for (const int32_t token : sampled.tokens) ++counts[static_cast<size_t>(token)];
  double chi_square = 0;
  for (int64_t v = 0; v < kVocab; ++v) {
    const double expected = kDraws * Probability(tempered, 0, v);
    const double difference = counts[static_cast<size_t>(v)] - expected;
    chi_square += difference * difference / expected;
  }
  // 8 degrees of freedom: 26 is exceeded with probability 0.001.
  CHECK(chi_square < 26.0);
  CHECK(sampled.confidences[5] == Approx(Probability(logits, 0, sampled.tokens[5])).epsilon(2e-6));
}

TEST_CASE("a draw depends on seed, step and position, not on the batch or the threads") {
  Matrix logits = RandomMatrix(4, 500, 5, 0.1f);
  std::copy_n(logits.data.begin(), 500, logits.data.begin() + 500);
  const SampleRow base = {.row = 0,
                          .temperature = 1.0f,
                          .rule = ConfidenceRule::kRandom,
                          .seed = 0x123456789abcdefull,
                          .step = 3,
                          .position = 17};
  std::vector<SampleRow> rows(40, base);
  for (size_t i = 1; i < rows.size(); ++i) {
    rows[i].row = static_cast<int32_t>(i % 4);
    rows[i].position = static_cast<uint32_t>(100 + i);
  }
  rows[1].row = 1;
  rows[1].position = 17;
  const Sampled batch = Sample(logits, rows, 3);
  const Sampled alone = Sample(logits, {base}, 1);
  CHECK(batch.tokens[0] == alone.tokens[0]);
  CHECK(batch.tokens[1] == alone.tokens[0]);
  CHECK(batch.confidences[0] == alone.confidences[0]);
  const auto draw = [&](SampleRow row) { return Sample(logits, {row}, 1); };
  SampleRow other = base;
  other.seed ^= uint64_t{1} << 40;
  CHECK(draw(other).confidences[0] != alone.confidences[0]);
  other = base;
  other.step = 4;
  CHECK(draw(other).confidences[0] != alone.confidences[0]);
  CHECK(std::set<float>(batch.confidences.begin(), batch.confidences.end()).size() == 39);
}

TEST_CASE("random confidences are uniform from 0 to below 1") {
  Matrix logits = RandomMatrix(1, 4, 6);
  std::vector<SampleRow> rows(20000);
  for (size_t i = 0; i < rows.size(); ++i) {
    rows[i] = {
        .row = 0, .rule = ConfidenceRule::kRandom, .seed = 7, .position = static_cast<uint32_t>(i)};
  }
  const Sampled sampled = Sample(logits, rows);
  std::array<int, 10> bins = {};
  for (const float value : sampled.confidences) {
    REQUIRE(value >= 0.0f);
    REQUIRE(value < 1.0f);
    ++bins[static_cast<size_t>(value * 10.0f)];
  }
  double chi_square = 0;
  for (const int count : bins) chi_square += (count - 2000.0) * (count - 2000.0) / 2000.0;
  CHECK(chi_square < 28.0);
  CHECK(sampled.tokens[0] == sampled.tokens[19999]);
}

TEST_CASE("rows outside of the logits are refused") {
  CpuBackend backend({.threads = 1, .isa = {}});
  Matrix logits(2, 4);
  int32_t token = 0;
  float confidence = 0;
  for (const SampleRow& row :
       {SampleRow{.row = 2}, SampleRow{.row = -1}, SampleRow{.row = 0, .uncond_row = 2},
        SampleRow{.row = 0, .temperature = -1.0f}, SampleRow{.row = 0, .target_token = 4},
        SampleRow{.row = 0, .target_token = -2}, SampleRow{.row = 0, .target_token = 1}}) {
    CHECK(backend.SampleRows(logits.view(), {&row, 1}, {&token, &confidence}).code() ==
          absl::StatusCode::kInvalidArgument);
  }
}

TEST_CASE("a target is taken with its own probability, whatever the rules say of the others") {
  constexpr int64_t kVocab = 777;
  Matrix logits = RandomMatrix(3, kVocab, 9, 12.0f);
  const Matrix before = logits;
  const auto third = before.data.begin() + 2 * kVocab;
  const auto best = static_cast<int32_t>(std::max_element(third, third + kVocab) - third);
  const Sampled sampled =
      Sample(logits, {{.row = 0, .target_token = 5},
                      {.row = 1, .target_token = 776, .rule = ConfidenceRule::kRandom},
                      {.row = 2, .target_token = best, .rule = ConfidenceRule::kSampledProbability},
                      {.row = 2}});
  CHECK(sampled.tokens == std::vector<int32_t>{5, 776, best, best});
  for (size_t i = 0; i < 3; ++i) {
    CAPTURE(i);
    const double p = Probability(before, static_cast<int64_t>(i), sampled.tokens[i]);
    CHECK(sampled.log_probabilities[i] == Approx(std::log(p)).epsilon(2e-7).margin(2e-6));
    if (i != 1) CHECK(sampled.confidences[i] == Approx(p).epsilon(4e-6));
  }
  CHECK(sampled.confidences[1] ==
        Sample(logits, {{.row = 1, .rule = ConfidenceRule::kRandom}}).confidences[0]);
  CHECK(sampled.log_probabilities[3] == 1.0f);  // not a target: left as it was
}

TEST_CASE("a target's log-probability keeps what its probability loses") {
  Matrix logits = RandomMatrix(2, 50, 10, 0.0f);
  logits.at(0, 7) = 200.0f;
  const Sampled sampled = Sample(logits, {{.row = 0, .target_token = 8}});
  CHECK(sampled.confidences[0] == 0.0f);
  CHECK(sampled.log_probabilities[0] == -200.0f);
}

TEST_CASE("a target's log-probability is of the guided logits, before a token is forbidden") {
  Matrix logits = RandomMatrix(2, 40, 3);
  Matrix guided(1, 40);
  for (int64_t v = 0; v < 40; ++v) {
    guided.at(0, v) = logits.at(1, v) + 2.5f * (logits.at(0, v) - logits.at(1, v));
  }
  const Sampled sampled = Sample(logits, {{.row = 0,
                                           .uncond_row = 1,
                                           .cfg_scale = 1.5f,
                                           .forbidden_token = 7,
                                           .unsure_tokens = {3, -1},
                                           .target_token = 7}});
  CHECK(sampled.tokens[0] == 7);
  CHECK(sampled.confidences[0] == 0.0f);
  CHECK(sampled.log_probabilities[0] == Approx(std::log(Probability(guided, 0, 7))).margin(2e-6));
}

TEST_CASE("CommitRows: most confident first, ties to the lower row, groups apart") {
  CpuBackend backend({.threads = 1, .isa = {}});
  const std::vector<float> confidences = {0.5f, 0.9f, 0.5f, 0.9f, kNaN, 0.1f, 0.2f, 0.3f};
  std::vector<int32_t> chosen(6, -1);
  const std::vector<CommitGroup> groups = {{.first = 0, .count = 5, .keep = 3},
                                           {.first = 5, .count = 3, .keep = 0},
                                           {.first = 5, .count = 3, .keep = 3}};
  REQUIRE(backend.CommitRows(confidences.data(), groups, chosen.data()).ok());
  CHECK(chosen == std::vector<int32_t>{1, 3, 0, 7, 6, 5});
  const CommitGroup whole = {.first = 0, .count = 5, .keep = 5};
  REQUIRE(backend.CommitRows(confidences.data(), {&whole, 1}, chosen.data()).ok());
  CHECK(chosen[4] == 4);
  const CommitGroup bad = {.first = 0, .count = 2, .keep = 3};
  CHECK(backend.CommitRows(confidences.data(), {&bad, 1}, chosen.data()).code() ==
        absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace sparsed::kernels
