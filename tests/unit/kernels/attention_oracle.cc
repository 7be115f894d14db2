#include "tests/unit/kernels/attention_oracle.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace sparsed::kernels {
namespace {

const float* Head(const TensorView& view, int64_t row, int64_t head, int32_t head_dim) {
  return static_cast<const float*>(view.data) + row * view.stride + head * head_dim;
}

int64_t KvHead(const AttentionParams& params, int64_t head) {
  return head / (params.num_heads / params.num_kv_heads);
}

double Score(const AttentionParams& params, const AttentionSequence& sequence, int64_t token,
             int64_t key, int64_t head) {
  const float* q = Head(params.q, sequence.first_row + token, head, params.head_dim);
  const float* k = Head(params.k, sequence.first_row + key, KvHead(params, head), params.head_dim);
  double sum = 0;
  for (int32_t d = 0; d < params.head_dim; ++d) sum += static_cast<double>(q[d]) * k[d];
  return sum;
}

bool Kept(const AttentionSequence& sequence, int64_t token, int64_t key, int64_t head) {
  if (sequence.mode != AttentionMode::kSparse) return true;
  const int64_t block = key / sequence.mask.block_size;
  const uint64_t* row = sequence.mask.Row(head, token / sequence.mask.block_size);
  return (row[block / 64] >> (block % 64) & 1) != 0;
}

// The softmax of scores[first, end) in place; scores before `first` become 0.
void Softmax(std::vector<double>& scores, int64_t first) {
  const auto begin = scores.begin() + first;
  const double max = *std::max_element(begin, scores.end());
  std::fill(scores.begin(), begin, 0.0);
  double sum = 0;
  for (auto it = begin; it != scores.end(); ++it) sum += * it = std::exp(*it - max);
  for (auto it = begin; it != scores.end(); ++it) *it /= sum;
}

}  // namespace

std::vector<double> OracleRow(const AttentionParams& params, const AttentionSequence& sequence,
                              int64_t token, int64_t head) {
  std::vector<double> out(static_cast<size_t>(params.head_dim), 0.0);
  std::vector<int64_t> keys;
  std::vector<double> weights;
  for (int64_t key = 0; key < sequence.num_tokens; ++key) {
    if (!Kept(sequence, token, key, head)) continue;
    keys.push_back(key);
    weights.push_back(params.scale * Score(params, sequence, token, key, head));
  }
  if (keys.empty()) return out;
  Softmax(weights, 0);
  for (size_t i = 0; i < keys.size(); ++i) {
    const float* v =
        Head(params.v, sequence.first_row + keys[i], KvHead(params, head), params.head_dim);
    for (size_t d = 0; d < out.size(); ++d) out[d] += weights[i] * v[d];
  }
  return out;
}

OracleImportance OracleImportances(const AttentionParams& params,
                                   const AttentionSequence& sequence) {
  const int64_t blocks = sequence.mask.num_blocks;
  const int64_t size = sequence.mask.block_size;
  const int64_t first = sequence.selection.first_canvas_block;
  OracleImportance result;
  result.full.assign(static_cast<size_t>(params.num_heads * blocks * blocks), 0.0);
  result.canvas.assign(static_cast<size_t>(params.num_heads * blocks * (blocks - first)), 0.0);
  const double cells = static_cast<double>(size * size);
  std::vector<double> scores(static_cast<size_t>(sequence.num_tokens));
  for (int64_t head = 0; head < params.num_heads; ++head) {
    for (int64_t token = 0; token < sequence.num_tokens; ++token) {
      const int64_t row = head * blocks + token / size;
      for (int64_t key = 0; key < sequence.num_tokens; ++key) {
        scores[static_cast<size_t>(key)] =
            sequence.selection.scale * Score(params, sequence, token, key, head);
      }
      std::vector<double> canvas = scores;
      Softmax(scores, 0);
      if (first < blocks) Softmax(canvas, first * size);
      for (int64_t key = 0; key < sequence.num_tokens; ++key) {
        const int64_t block = key / size;
        result.full[static_cast<size_t>(row * blocks + block)] +=
            scores[static_cast<size_t>(key)] / cells;
        if (block < first) continue;
        result.canvas[static_cast<size_t>(row * (blocks - first) + block - first)] +=
            canvas[static_cast<size_t>(key)] / cells;
      }
    }
  }
  return result;
}

}  // namespace sparsed::kernels
