// One packed attention problem with random inputs, and masks to go with it.
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "kernels/backend.h"
#include "tests/unit/kernels/kernel_testing.h"

namespace sparsed::kernels {

struct Mask {
  Mask(int32_t heads, int64_t tokens, int32_t block_size) {
    view.num_heads = heads;
    view.block_size = block_size;
    view.num_blocks = static_cast<int32_t>((tokens + block_size - 1) / block_size);
    bits.assign(static_cast<size_t>(view.Bytes() / 8), 0);
    view.bits = bits.data();
  }
  Mask(const Mask&) = delete;
  Mask& operator=(const Mask&) = delete;

  void Keep(int64_t head, int64_t row, int64_t column) {
    view.Row(head, row)[column / 64] |= uint64_t{1} << (column % 64);
  }
  bool Has(int64_t head, int64_t row, int64_t column) const {
    return (view.Row(head, row)[column / 64] >> (column % 64) & 1) != 0;
  }
  void KeepWhere(const std::function<bool(int64_t head, int64_t row, int64_t column)>& keep) {
    for (int64_t h = 0; h < view.num_heads; ++h) {
      for (int64_t i = 0; i < view.num_blocks; ++i) {
        for (int64_t j = 0; j < view.num_blocks; ++j) {
          if (keep(h, i, j)) Keep(h, i, j);
        }
      }
    }
  }
  void KeepAll() {
    KeepWhere([](int64_t, int64_t, int64_t) { return true; });
  }
  void KeepRandom(double density, uint32_t seed) {
    std::mt19937 generator(seed);
    std::bernoulli_distribution keep(density);
    KeepWhere([&](int64_t, int64_t, int64_t) { return keep(generator); });
  }

  std::vector<uint64_t> bits;
  BlockMaskView view;
};

struct Problem {
  Problem(int64_t rows, int32_t num_heads, int32_t num_kv_heads, int32_t head_dim, uint32_t seed)
      : q(RandomMatrix(rows, num_heads * head_dim, seed)),
        k(RandomMatrix(rows, num_kv_heads * head_dim, seed + 1)),
        v(RandomMatrix(rows, num_kv_heads * head_dim, seed + 2)),
        out(rows, num_heads * head_dim, kNaN) {
    params.num_heads = num_heads;
    params.num_kv_heads = num_kv_heads;
    params.head_dim = head_dim;
    params.scale = 1.0f / std::sqrt(static_cast<float>(head_dim));
  }

  AttentionSequence Whole() const {
    AttentionSequence sequence;
    sequence.num_tokens = q.rows;
    return sequence;
  }
  AttentionSequence Sparse(const Mask& mask) const {
    AttentionSequence sequence = Whole();
    sequence.mode = AttentionMode::kSparse;
    sequence.mask = mask.view;
    return sequence;
  }

  // Runs the sequences; the result is in `out`.
  absl::Status Run(Backend& backend, const std::vector<AttentionSequence>& sequences) {
    std::fill(out.data.begin(), out.data.end(), kNaN);
    params.out = out.view();
    params.q = q.view();
    params.k = k.view();
    params.v = v.view();
    params.sequences = sequences;
    return backend.Attention(params);
  }

  Matrix q;
  Matrix k;
  Matrix v;
  Matrix out;
  AttentionParams params;
};

inline std::unique_ptr<CpuBackend> MakeBackend(Isa isa, int threads) {
  return std::make_unique<CpuBackend>(CpuOptions{.threads = threads, .isa = isa});
}

}  // namespace sparsed::kernels
