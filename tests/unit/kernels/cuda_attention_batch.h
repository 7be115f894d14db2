// A packed batch of random attention on the device, and what float64 says of it.
#pragma once

#include "kernels/cuda_sizes.h"
#include "tests/unit/kernels/cuda_testing.h"

namespace sparsed::kernels {

struct Shape {
  int heads;
  int kv_heads;
  int head_dim;
};

// One sequence of a batch, as the test describes it.
struct Case {
  int tokens;
  AttentionMode mode;
  int block_size = 128;
  int first_canvas_block = 0;
  int keep_prompt = 1;
  int keep_canvas = 1;
  double density = 1;  // of a kSparse mask
};

inline int64_t AlignUp(int64_t n) {
  return (n + cuda::kRowAlignment - 1) / cuda::kRowAlignment * cuda::kRowAlignment;
}

// A packed batch on the device with NaN in the output and behind every sequence's own K and V tiles
// finite values only (the contract of the packing).
struct Batch {
  Batch(Backend& device, const Shape& s, const std::vector<Case>& c, uint32_t seed)
      : backend(device), shape(s), cases(c) {
    for (const Case& one : cases) {
      first_rows.push_back(rows);
      rows += AlignUp(one.tokens);
    }
    width = (s.heads + 2 * s.kv_heads) * s.head_dim;
    host = RandomBf16(static_cast<size_t>(rows * width), seed);
    qkv = Upload(backend, host);
    out = Upload(backend,
                 std::vector<uint16_t>(static_cast<size_t>(rows * s.heads * s.head_dim), 0x7fc0));
    std::mt19937 generator(seed + 1);
    for (const Case& one : cases) {
      BlockMaskView mask;
      mask.num_heads = s.heads;
      mask.block_size = one.block_size;
      mask.num_blocks = (one.tokens + one.block_size - 1) / one.block_size;
      std::vector<uint64_t> bits(static_cast<size_t>(mask.Bytes() / 8), 0);
      mask.bits = bits.data();
      if (one.mode == AttentionMode::kSparse) {
        for (int h = 0; h < s.heads; ++h) {
          for (int i = 0; i < mask.num_blocks; ++i) {
            for (int j = 0; j < mask.num_blocks; ++j) {
              const bool keep = std::uniform_real_distribution<>(0, 1)(generator) < one.density;
              if (keep) mask.Row(h, i)[j / 64] |= uint64_t{1} << (j % 64);
            }
          }
        }
      }
      host_masks.push_back(bits);
      device_masks.push_back(Upload(backend, bits));
      mask.bits = device_masks.back().as<uint64_t>();
      masks.push_back(mask);
    }
  }

  std::vector<AttentionSequence> Sequences() const {
    std::vector<AttentionSequence> sequences;
    for (size_t i = 0; i < cases.size(); ++i) {
      AttentionSequence sequence;
      sequence.first_row = first_rows[i];
      sequence.num_tokens = cases[i].tokens;
      sequence.mode = cases[i].mode;
      sequence.mask = masks[i];
      sequence.selection.first_canvas_block = cases[i].first_canvas_block;
      sequence.selection.keep_prompt = cases[i].keep_prompt;
      sequence.selection.keep_canvas = cases[i].keep_canvas;
      sequence.selection.scale = 1 / std::sqrt(static_cast<float>(shape.head_dim)) * ratio;
      sequence.selection.importance = importance;
      sequence.selection.canvas_importance = canvas_importance;
      sequences.push_back(sequence);
    }
    return sequences;
  }

  // Without the sequences.
  AttentionParams Params() const {
    const TensorView all = View(qkv, DType::kBF16, rows, width);
    AttentionParams params;
    params.out = View(out, DType::kBF16, rows, shape.heads * shape.head_dim);
    params.q = all.Columns(0, shape.heads * shape.head_dim);
    params.k = all.Columns(shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim);
    params.v = all.Columns((shape.heads + shape.kv_heads) * shape.head_dim,
                           shape.kv_heads * shape.head_dim);
    params.num_heads = shape.heads;
    params.num_kv_heads = shape.kv_heads;
    params.head_dim = shape.head_dim;
    params.scale = 1 / std::sqrt(static_cast<float>(shape.head_dim));
    return params;
  }

  std::vector<uint16_t> Run() {
    const std::vector<AttentionSequence> sequences = Sequences();
    AttentionParams params = Params();
    params.sequences = sequences;
    const absl::Status status = backend.Attention(params);
    INFO(std::string(status.message()));
    REQUIRE(status.ok());
    return Download<uint16_t>(backend, out.data(),
                              static_cast<size_t>(rows * shape.heads * shape.head_dim));
  }

  // The rows of the queries alone, one range a sequence, from queries and to outputs that lie in
  // rows of their own, sequence by sequence.
  std::vector<uint16_t> Run(const std::vector<QueryRange>& ranges) {
    std::vector<AttentionSequence> sequences = Sequences();
    const int64_t cols = shape.heads * shape.head_dim;
    int64_t own_rows = 0;
    std::vector<uint16_t> own_host;
    for (size_t i = 0; i < sequences.size(); ++i) {
      sequences[i].queries = ranges[i];
      sequences[i].queries->first_row = own_rows;
      own_rows += AlignUp(ranges[i].num_tokens);
      own_host.resize(static_cast<size_t>(own_rows * cols));
      for (int64_t row = 0; row < ranges[i].num_tokens; ++row) {
        const auto from = host.begin() + (first_rows[i] + ranges[i].first_token + row) * width;
        std::copy(from, from + cols,
                  own_host.begin() + (sequences[i].queries->first_row + row) * cols);
      }
    }
    const Buffer q = Upload(backend, own_host);
    const Buffer own_out =
        Upload(backend, std::vector<uint16_t>(static_cast<size_t>(own_rows * cols), 0x7fc0));
    AttentionParams params = Params();
    params.q = View(q, DType::kBF16, own_rows, cols);
    params.out = View(own_out, DType::kBF16, own_rows, cols);
    params.sequences = sequences;
    const absl::Status status = backend.Attention(params);
    INFO(std::string(status.message()));
    REQUIRE(status.ok());
    return Download<uint16_t>(backend, own_out.data(), static_cast<size_t>(own_rows * cols));
  }

  float At(int64_t row, int64_t column) const {
    return FromBits(host[static_cast<size_t>(row * width + column)]);
  }
  double Score(size_t sequence, int head, int i, int j) const {
    double sum = 0;
    const int64_t kv =
        shape.heads * shape.head_dim + head / (shape.heads / shape.kv_heads) * shape.head_dim;
    for (int d = 0; d < shape.head_dim; ++d) {
      sum += static_cast<double>(At(first_rows[sequence] + i, head * shape.head_dim + d)) *
             static_cast<double>(At(first_rows[sequence] + j, kv + d));
    }
    return sum / std::sqrt(static_cast<double>(shape.head_dim));
  }
  bool Kept(size_t sequence, int head, int i, int j) const {
    const Case& one = cases[sequence];
    if (one.mode != AttentionMode::kSparse) return true;
    BlockMaskView mask = masks[sequence];
    mask.bits = const_cast<uint64_t*>(host_masks[sequence].data());
    return (mask.Row(head, i / one.block_size)[j / one.block_size / 64] >>
            (j / one.block_size % 64)) &
           1;
  }
  // Largest error of `got` and of a plain bf16 implementation (float scores, bf16 probabilities,
  // bf16 output) against float64, over some rows of every head.
  void Errors(const std::vector<uint16_t>& got, size_t sequence, double* own, double* plain) const {
    RangeErrors(got, sequence, {0, cases[sequence].tokens, first_rows[sequence]}, own, plain);
  }
  // The same of the rows of a query range, where `got` has them from range.first_row on.
  void RangeErrors(const std::vector<uint16_t>& got, size_t sequence, const QueryRange& range,
                   double* own, double* plain) const {
    const int n = cases[sequence].tokens;
    const auto end = static_cast<int>(range.first_token + range.num_tokens);
    const int64_t kv = (shape.heads + shape.kv_heads) * shape.head_dim;
    for (int head = 0; head < shape.heads; ++head) {
      for (auto i = static_cast<int>(range.first_token); i < end;
           i += std::max(1, static_cast<int>(range.num_tokens) / 37)) {
        std::vector<double> p(static_cast<size_t>(n), 0);
        double high = -std::numeric_limits<double>::infinity();
        for (int j = 0; j < n; ++j) {
          p[j] = Kept(sequence, head, i, j) ? Score(sequence, head, i, j)
                                            : -std::numeric_limits<double>::infinity();
          high = std::max(high, p[j]);
        }
        double sum = 0;
        const bool empty = !std::isfinite(high);
        for (double& x : p) sum += x = empty ? 0 : std::exp(x - high);
        for (int d = 0; d < shape.head_dim; ++d) {
          double exact = 0, rounded = 0;
          for (int j = 0; j < n; ++j) {
            const double v = At(first_rows[sequence] + j,
                                kv + head / (shape.heads / shape.kv_heads) * shape.head_dim + d);
            exact += p[j] * v;
            rounded += static_cast<double>(Round(static_cast<float>(p[j]))) * v;
          }
          exact = empty ? 0 : exact / sum;
          rounded = empty ? 0 : Round(static_cast<float>(rounded / sum));
          const double value = FromBits(got[static_cast<size_t>(
              (range.first_row + i - range.first_token) * shape.heads * shape.head_dim +
              head * shape.head_dim + d)]);
          REQUIRE(std::isfinite(value));
          *own = std::max(*own, std::abs(value - exact));
          *plain = std::max(*plain, std::abs(rounded - exact));
        }
      }
    }
  }

  Backend& backend;
  Shape shape;
  std::vector<Case> cases;
  std::vector<int64_t> first_rows;
  int64_t rows = 0;
  int64_t width = 0;
  float ratio = 1;
  float* importance = nullptr;
  float* canvas_importance = nullptr;
  std::vector<uint16_t> host;
  Buffer qkv, out;
  std::vector<std::vector<uint64_t>> host_masks;
  std::vector<Buffer> device_masks;
  std::vector<BlockMaskView> masks;
};

}  // namespace sparsed::kernels
