// SampleRows and CommitRows.

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <vector>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/shape_check.h"
#include "kernels/rng.h"

namespace sparsed::kernels {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

void GuideLogits(float* cond, const float* uncond, float cfg_scale, int64_t vocab) {
  for (int64_t v = 0; v < vocab; ++v) {
    cond[v] = uncond[v] + (cfg_scale + 1.0f) * (cond[v] - uncond[v]);
  }
}

// -ln(-ln u) of one number of a stream.
double Gumbel(const PhiloxBlock& bits, size_t half) {
  return -std::log(-std::log(OpenUniform(bits[2 * half], bits[2 * half + 1])));
}

// The token with the largest l + T * Gumbel among those of at least `cut`, in double precision as
// the reference; a 128-bit block of random numbers serves two neighbouring tokens.
int32_t GumbelArgmax(const float* logits, int64_t vocab, float cut, const SampleRow& row) {
  double best = -kInfinity;
  int64_t token = 0;
  PhiloxBlock bits = {};
  for (int64_t v = 0; v < vocab; ++v) {
    if (v % 2 == 0) {
      bits = RandomBits(row.seed, row.step, row.position, static_cast<uint32_t>(v / 2),
                        RandomStream::kGumbel);
    }
    if (logits[v] < cut) continue;
    const double value =
        static_cast<double>(logits[v]) + static_cast<double>(row.temperature) * Gumbel(bits, v % 2);
    if (value > best) {
      best = value;
      token = v;
    }
  }
  return static_cast<int32_t>(token);
}

// p of a row before it is normalised; see ConfidenceRule.
class Distribution {
 public:
  Distribution(const float* logits, int64_t vocab, float max, float temperature)
      : logits_(logits),
        vocab_(vocab),
        max_(max),
        scale_(temperature > 0 ? 1.0f / temperature : 1.0f) {}

  double Weight(float logit) const {
    return logit < cut_ ? 0.0 : static_cast<double>(std::exp((logit - max_) * scale_));
  }
  double Sum() const {
    return std::accumulate(logits_, logits_ + vocab_, 0.0,
                           [this](double sum, float logit) { return sum + Weight(logit); });
  }
  float cut() const { return cut_; }

  // top_k of what top_p leaves: the higher of their two cuts.
  void Filter(float top_p, int32_t top_k) {
    float cut = cut_;
    if (top_p < 1) cut = NucleusCut(top_p);
    if (top_k > 0 && top_k < vocab_) {
      std::vector<float> sorted(logits_, logits_ + vocab_);
      std::nth_element(sorted.begin(), sorted.begin() + (top_k - 1), sorted.end(),
                       std::greater<>());
      cut = std::max(cut, sorted[top_k - 1]);
    }
    cut_ = cut;
  }

  double Margin(double sum) const {
    float first = -kInfinity;
    float second = -kInfinity;
    for (int64_t v = 0; v < vocab_; ++v) {
      second = std::max(second, std::min(first, logits_[v]));
      first = std::max(first, logits_[v]);
    }
    return (Weight(first) - Weight(second)) / sum;
  }

  double NegativeEntropy(double sum) const {
    double entropy = 0;
    for (int64_t v = 0; v < vocab_; ++v) {
      const double p = Weight(logits_[v]) / sum;
      if (p > 0) entropy += p * std::log(p + 1e-10);
    }
    return entropy;
  }

 private:
  // The logit at which the most probable tokens cover more than top_p. Sorts no more of the row
  // than it takes.
  float NucleusCut(float top_p) const {
    std::vector<float> sorted(logits_, logits_ + vocab_);
    const double enough = static_cast<double>(top_p) * Sum();
    double covered = 0;
    for (auto first = sorted.begin(); first != sorted.end();) {
      constexpr int64_t kChunk = 64;
      const auto last = first + std::min<int64_t>(kChunk, sorted.end() - first);
      std::partial_sort(first, last, sorted.end(), std::greater<>());
      for (; first != last; ++first) {
        covered += Weight(*first);
        if (covered > enough) return *first;
      }
    }
    return -kInfinity;
  }

  const float* logits_;
  const int64_t vocab_;
  const float max_;
  const float scale_;
  float cut_ = -kInfinity;
};

float RuleConfidence(const Distribution& p, float logit, ConfidenceRule rule) {
  const double sum = p.Sum();
  switch (rule) {
    case ConfidenceRule::kMargin:
      return static_cast<float>(p.Margin(sum));
    case ConfidenceRule::kNegativeEntropy:
      return static_cast<float>(p.NegativeEntropy(sum));
    default:
      return static_cast<float>(p.Weight(logit) / sum);
  }
}

float RandomConfidence(const SampleRow& row) {
  const PhiloxBlock bits =
      RandomBits(row.seed, row.step, row.position, 0, RandomStream::kConfidence);
  return Uniform24(bits[0]);
}

void Suppress(float* logits, int64_t vocab, int32_t token) {
  if (token >= 0 && token < vocab) logits[token] = -kInfinity;
}

// The token, and in `max` the largest logit that counts for the confidence.
int32_t ChooseToken(const VectorOps& ops, float* logits, int64_t vocab, const SampleRow& row,
                    float cut, RowMaximum& max) {
  int32_t token = row.target_token;
  if (token < 0) {
    token = row.temperature > 0
                ? GumbelArgmax(logits, vocab, cut, row)
                : static_cast<int32_t>(std::find(logits, logits + vocab, max.value) - logits);
  }
  if (token >= vocab) token = 0;  // no number in the row at all
  if (row.unsure_tokens[0] >= 0 || row.unsure_tokens[1] >= 0) {
    for (const int32_t unsure : row.unsure_tokens) Suppress(logits, vocab, unsure);
    max.value = ops.row_max(logits, vocab).value;
  }
  return token;
}

float LogProbability(const VectorOps& ops, const float* logits, int64_t vocab, int32_t token) {
  const float max = ops.row_max(logits, vocab).value;
  return logits[token] - max - std::log(ops.sum_exp(logits, max, vocab));
}

void SampleOne(const VectorOps& ops, float* logits, int64_t vocab, const SampleRow& row,
               int32_t* token, float* confidence) {
  Suppress(logits, vocab, row.forbidden_token);
  RowMaximum max = ops.row_max(logits, vocab);
  Distribution p(logits, vocab, max.value, row.temperature);
  if (max.has_nan == 0) p.Filter(row.top_p, row.top_k);
  *token = ChooseToken(ops, logits, vocab, row, p.cut(), max);
  if (max.has_nan != 0) {
    *confidence = std::numeric_limits<float>::quiet_NaN();
  } else if (row.rule == ConfidenceRule::kRandom) {
    *confidence = RandomConfidence(row);
  } else if (row.rule == ConfidenceRule::kProbability) {
    *confidence = std::exp(logits[*token] - max.value) / ops.sum_exp(logits, max.value, vocab);
  } else {
    *confidence = RuleConfidence(p, logits[*token], row.rule);
  }
}

bool IsToken(int32_t token, int64_t vocab) { return token >= -1 && token < vocab; }

absl::Status CheckSampleRow(const SampleRow& row, const TensorView& logits,
                            bool has_log_probabilities) {
  if (row.row < 0 || row.row >= logits.rows)
    return ShapeError("SampleRows", "row outside of logits");
  if (row.uncond_row >= logits.rows)
    return ShapeError("SampleRows", "uncond_row outside of logits");
  if (!(row.temperature >= 0)) return ShapeError("SampleRows", "temperature must be at least 0");
  if (!(row.top_p > 0 && row.top_p <= 1))
    return ShapeError("SampleRows", "top_p must be in (0, 1]");
  if (row.top_k < 0) return ShapeError("SampleRows", "top_k must be at least 0");
  if (!IsToken(row.forbidden_token, logits.cols) || !IsToken(row.unsure_tokens[0], logits.cols) ||
      !IsToken(row.unsure_tokens[1], logits.cols) || !IsToken(row.target_token, logits.cols)) {
    return ShapeError("SampleRows", "a token outside of the vocabulary");
  }
  if (row.target_token < 0) return absl::OkStatus();
  if (row.temperature > 0) return ShapeError("SampleRows", "a target needs temperature 0");
  if (!has_log_probabilities) {
    return ShapeError("SampleRows", "a target without a place for its log-probability");
  }
  return absl::OkStatus();
}

// What orders the rows of a group. Rows drawn without replacement in proportion to exp(c / T) are
// those with the largest c / T + Gumbel. A NaN ranks below every number: the order stays total.
double Rank(float confidence, const CommitGroup& group, int32_t place) {
  if (std::isnan(confidence)) return -kInfinity;
  if (!(group.temperature > 0)) return confidence;
  const PhiloxBlock bits =
      RandomBits(group.seed, group.step, static_cast<uint32_t>(place), 0, RandomStream::kOrder);
  return static_cast<double>(confidence) / group.temperature + Gumbel(bits, 0);
}

}  // namespace

absl::Status CpuBackend::SampleRows(TensorView logits, std::span<const SampleRow> rows,
                                    const SampleResults& results) {
  SPARSED_KERNEL_CHECK(CheckF32("SampleRows", "logits", logits, logits.rows, logits.cols));
  if (logits.cols <= 0) return ShapeError("SampleRows", "empty vocabulary");
  for (const SampleRow& row : rows) {
    SPARSED_KERNEL_CHECK(CheckSampleRow(row, logits, results.log_probabilities != nullptr));
  }
  float* data = static_cast<float*>(logits.data);
  pool_.Run(static_cast<int64_t>(rows.size()), [&](int64_t i, int) {
    const SampleRow& row = rows[static_cast<size_t>(i)];
    float* cond = data + row.row * logits.stride;
    if (row.uncond_row >= 0) {
      GuideLogits(cond, data + row.uncond_row * logits.stride, row.cfg_scale, logits.cols);
    }
    if (row.target_token >= 0) {
      results.log_probabilities[i] = LogProbability(ops_, cond, logits.cols, row.target_token);
    }
    SampleOne(ops_, cond, logits.cols, row, results.tokens + i, results.confidences + i);
  });
  return absl::OkStatus();
}

absl::Status CpuBackend::CommitRows(const float* confidences, std::span<const CommitGroup> groups,
                                    int32_t* chosen) {
  std::vector<int32_t> order;
  std::vector<double> rank;
  for (const CommitGroup& group : groups) {
    if (group.first < 0 || group.keep < 0 || group.keep > group.count) {
      return ShapeError("CommitRows", "keep must be in [0, count]");
    }
    order.resize(static_cast<size_t>(group.count));
    rank.resize(order.size());
    std::iota(order.begin(), order.end(), group.first);
    for (int32_t i = 0; i < group.count; ++i) {
      rank[i] = Rank(confidences[group.first + i], group, i);
    }
    std::partial_sort(order.begin(), order.begin() + group.keep, order.end(),
                      [&](int32_t a, int32_t b) {
                        const double left = rank[a - group.first];
                        const double right = rank[b - group.first];
                        return left != right ? left > right : a < b;
                      });
    chosen = std::copy_n(order.begin(), group.keep, chosen);
  }
  return absl::OkStatus();
}

}  // namespace sparsed::kernels
