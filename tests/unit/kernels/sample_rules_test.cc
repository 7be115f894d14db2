// Dream's sampling rules, the options about end tokens, and drawn commits, against plain double
// precision.

#include <map>

#include "tests/testing/catch.h"
#include "tests/unit/kernels/kernel_testing.h"

namespace sparsed::kernels {
namespace {

struct Drawn {
  int32_t token = -1;
  float confidence = -1;
};

// `logits` is a copy: sampling may overwrite it.
std::vector<Drawn> Draw(Matrix logits, const std::vector<SampleRow>& rows) {
  CpuBackend backend({.threads = 2, .isa = {}});
  std::vector<int32_t> tokens(rows.size());
  std::vector<float> confidences(rows.size());
  REQUIRE(backend.SampleRows(logits.view(), rows, {tokens.data(), confidences.data()}).ok());
  std::vector<Drawn> drawn;
  for (size_t i = 0; i < rows.size(); ++i) drawn.push_back({tokens[i], confidences[i]});
  return drawn;
}

// The distribution that a row is drawn from: by a full sort, rank by rank.
std::vector<double> Oracle(const Matrix& logits, const SampleRow& row) {
  const double temperature = row.temperature > 0 ? row.temperature : 1;
  const auto vocab = static_cast<size_t>(logits.cols);
  std::vector<size_t> order(vocab);
  for (size_t v = 0; v < vocab; ++v) order[v] = v;
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return logits.at(0, static_cast<int64_t>(a)) > logits.at(0, static_cast<int64_t>(b));
  });
  std::vector<double> p(vocab);
  double sum = 0;
  for (size_t v = 0; v < vocab; ++v) {
    sum += p[v] = std::exp(logits.at(0, static_cast<int64_t>(v)) / temperature);
  }
  double covered = 0;
  for (size_t rank = 0; rank < vocab; ++rank) {
    double& one = p[order[rank]];
    const bool dropped = (rank > 0 && row.top_p < 1 && covered > row.top_p * sum) ||
                         (row.top_k > 0 && rank >= static_cast<size_t>(row.top_k));
    covered += one;
    if (dropped) one = 0;
  }
  sum = 0;
  for (const double one : p) sum += one;
  for (double& one : p) one /= sum;
  return p;
}

double Margin(std::vector<double> p) {
  std::sort(p.rbegin(), p.rend());
  return p[0] - (p.size() > 1 ? p[1] : 0);
}

double NegativeEntropy(const std::vector<double>& p) {
  double sum = 0;
  for (const double one : p) sum += one * std::log(one + 1e-10);
  return sum;
}

std::vector<SampleRow> Filters() {
  return {{.row = 0},
          {.row = 0, .top_p = 0.9f},
          {.row = 0, .top_p = 0.05f},
          {.row = 0, .top_k = 1},
          {.row = 0, .top_k = 7},
          {.row = 0, .top_k = 1 << 30},
          {.row = 0, .top_p = 0.6f, .top_k = 3},
          {.row = 0, .top_p = 0.2f, .top_k = 100},
          {.row = 0, .temperature = 0.3f, .top_p = 0.8f},
          {.row = 0, .temperature = 2.0f, .top_p = 0.95f, .top_k = 40},
          {.row = 0, .temperature = 0.2f}};
}

}  // namespace

TEST_CASE("Confidences by Dream's rules follow the filtered, tempered distribution") {
  for (const int64_t vocab : {1, 2, 9, 300, 5000}) {
    const Matrix logits = RandomMatrix(1, vocab, 11, 2.0f);
    for (SampleRow row : Filters()) {
      CAPTURE(vocab, row.temperature, row.top_p, row.top_k);
      row.seed = 5;
      const std::vector<double> p = Oracle(logits, row);
      row.rule = ConfidenceRule::kSampledProbability;
      const Drawn drawn = Draw(logits, {row})[0];
      CHECK(p[static_cast<size_t>(drawn.token)] > 0);
      CHECK(drawn.confidence == Approx(p[static_cast<size_t>(drawn.token)]).epsilon(2e-5));
      if (row.temperature == 0) {
        CHECK(drawn.token == std::max_element(p.begin(), p.end()) - p.begin());
      }
      row.rule = ConfidenceRule::kMargin;
      CHECK(Draw(logits, {row})[0].confidence == Approx(Margin(p)).epsilon(2e-5).margin(1e-6));
      row.rule = ConfidenceRule::kNegativeEntropy;
      CHECK(Draw(logits, {row})[0].confidence ==
            Approx(NegativeEntropy(p)).epsilon(2e-5).margin(1e-6));
    }
  }
}

TEST_CASE("Tokens are drawn from the filtered, tempered distribution") {
  constexpr int kDraws = 20000;
  const Matrix logits = RandomMatrix(1, 12, 4);
  const SampleRow base = {.row = 0, .temperature = 1.4f, .top_p = 0.85f, .top_k = 6, .seed = 42};
  const std::vector<double> p = Oracle(logits, base);
  std::vector<SampleRow> rows(kDraws, base);
  for (int i = 0; i < kDraws; ++i) rows[static_cast<size_t>(i)].position = static_cast<uint32_t>(i);
  std::vector<int> counts(12);
  for (const Drawn& drawn : Draw(logits, rows)) ++counts[static_cast<size_t>(drawn.token)];
  double chi_square = 0;
  int kept = 0;
  for (size_t v = 0; v < 12; ++v) {
    if (p[v] == 0) {
      CHECK(counts[v] == 0);
      continue;
    }
    ++kept;
    chi_square += (counts[v] - kDraws * p[v]) * (counts[v] - kDraws * p[v]) / (kDraws * p[v]);
  }
  REQUIRE(kept >= 3);
  REQUIRE(kept <= 6);
  // 5 degrees of freedom at most: 20.5 is exceeded with probability 0.001.
  CHECK(chi_square < 20.5);
}

TEST_CASE("Tokens tied with the last one kept are kept") {
  Matrix logits(1, 6);
  logits.data = {3, 1, 2, 1, 1, 0};
  SampleRow row = {.row = 0, .top_k = 3, .rule = ConfidenceRule::kSampledProbability};
  const double sum = std::exp(3) + std::exp(2) + 3 * std::exp(1);
  CHECK(Draw(logits, {row})[0].confidence == Approx(std::exp(3) / sum));
  row.top_k = 0;
  row.top_p = static_cast<float>((std::exp(3) + std::exp(2) + 0.5) / (sum + 1));
  CHECK(Draw(logits, {row})[0].confidence == Approx(std::exp(3) / sum));
}

TEST_CASE("A forbidden token is never chosen and has no share") {
  Matrix logits(1, 4);
  logits.data = {1, 5, 2, 0};
  const Drawn drawn = Draw(logits, {{.row = 0, .forbidden_token = 1}})[0];
  CHECK(drawn.token == 2);
  CHECK(drawn.confidence == Approx(std::exp(2) / (std::exp(2) + std::exp(1) + 1)));
}

TEST_CASE("An unsure token can be chosen, with confidence 0, and the others share what it had") {
  Matrix logits(2, 4);
  logits.data = {1, 120, 2, 0, /*second row*/ 4, 3.9f, 0, 1};
  const auto drawn =
      Draw(logits, {{.row = 0, .unsure_tokens = {1, 3}}, {.row = 1, .unsure_tokens = {1, -1}}});
  CHECK(drawn[0].token == 1);
  CHECK(drawn[0].confidence == 0);
  CHECK(drawn[1].token == 0);
  CHECK(drawn[1].confidence == Approx(std::exp(4) / (std::exp(4) + 1 + std::exp(1))));
}

TEST_CASE("A NaN makes the confidence NaN under Dream's rules, too") {
  Matrix logits = RandomMatrix(1, 50, 2);
  logits.at(0, 49) = kNaN;
  for (const ConfidenceRule rule : {ConfidenceRule::kSampledProbability, ConfidenceRule::kMargin,
                                    ConfidenceRule::kNegativeEntropy}) {
    CHECK(std::isnan(
        Draw(logits, {{.row = 0, .top_p = 0.5f, .top_k = 4, .rule = rule}})[0].confidence));
  }
}

TEST_CASE("Filters out of range and tokens outside of the vocabulary are refused") {
  CpuBackend backend({.threads = 1, .isa = {}});
  Matrix logits(2, 4);
  int32_t token = 0;
  float confidence = 0;
  for (const SampleRow& row :
       {SampleRow{.row = 0, .top_p = 0.0f}, SampleRow{.row = 0, .top_p = 1.5f},
        SampleRow{.row = 0, .top_p = kNaN}, SampleRow{.row = 0, .top_k = -1},
        SampleRow{.row = 0, .forbidden_token = 4}, SampleRow{.row = 0, .unsure_tokens = {-1, 4}}}) {
    CHECK(backend.SampleRows(logits.view(), {&row, 1}, {&token, &confidence}).code() ==
          absl::StatusCode::kInvalidArgument);
  }
}

TEST_CASE("With a temperature rows are drawn one after the other in proportion to exp(c / T)") {
  constexpr int kDraws = 20000;
  constexpr float kTemperature = 0.4f;
  CpuBackend backend({.threads = 1, .isa = {}});
  const std::vector<float> confidences = {0.9f, 0.1f, 0.6f, 0.3f};
  std::vector<CommitGroup> groups;
  for (int i = 0; i < kDraws; ++i) {
    groups.push_back({0, 4, 2, kTemperature, 99, static_cast<uint32_t>(i)});
  }
  std::vector<int32_t> chosen(2 * kDraws);
  REQUIRE(backend.CommitRows(confidences.data(), groups, chosen.data()).ok());
  std::map<std::pair<int32_t, int32_t>, int> counts;
  for (int i = 0; i < kDraws; ++i) ++counts[{chosen[2 * i], chosen[2 * i + 1]}];
  double sum = 0;
  for (const float c : confidences) sum += std::exp(c / kTemperature);
  double chi_square = 0;
  for (int32_t a = 0; a < 4; ++a) {
    for (int32_t b = 0; b < 4; ++b) {
      if (a == b) continue;
      const double first = std::exp(confidences[a] / kTemperature);
      const double second = std::exp(confidences[b] / kTemperature);
      const double expected = kDraws * first / sum * second / (sum - first);
      chi_square += (counts[{a, b}] - expected) * (counts[{a, b}] - expected) / expected;
    }
  }
  CHECK(counts.count({0, 0}) == 0);
  // 11 degrees of freedom: 31.3 is exceeded with probability 0.001.
  CHECK(chi_square < 31.3);
}

}  // namespace sparsed::kernels
