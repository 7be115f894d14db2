// Attention and selection on the device against float64 on the host and against themselves. Without
// a device the cases have nothing to run on and say so.
#include "tests/unit/kernels/cuda_testing.h"

namespace sparsed::kernels {
namespace {

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

int64_t AlignUp(int64_t n) { return (n + 127) / 128 * 128; }

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

  std::vector<uint16_t> Run() {
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
    params.sequences = sequences;
    const absl::Status status = backend.Attention(params);
    INFO(std::string(status.message()));
    REQUIRE(status.ok());
    return Download<uint16_t>(backend, out.data(),
                              static_cast<size_t>(rows * shape.heads * shape.head_dim));
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
    const int n = cases[sequence].tokens;
    const int64_t kv = (shape.heads + shape.kv_heads) * shape.head_dim;
    for (int head = 0; head < shape.heads; ++head) {
      for (int i = 0; i < n; i += std::max(1, n / 37)) {
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
          const double value = FromBits(
              got[static_cast<size_t>((first_rows[sequence] + i) * shape.heads * shape.head_dim +
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

const std::vector<Shape> kShapes = {{1, 1, 64}, {3, 1, 128}, {4, 4, 128}, {6, 6, 64}, {8, 1, 64}};

TEST_CASE("attention on the device keeps the accuracy of a plain bf16 implementation") {
  const bool portable = GENERATE(false, true);
  const auto device = Device(portable);
  if (!device) return;
  uint32_t seed = 1;
  for (const Shape& shape : kShapes) {
    for (const int n : {1, 31, 127, 128, 129, 300, 1000}) {
      for (const int block : {32, 64, 128}) {
        for (const double density : {0.0, 0.1, 0.5, 1.0}) {
          Batch batch(
              *device, shape,
              {{n, AttentionMode::kFull}, {n, AttentionMode::kSparse, block, 0, 1, 1, density}},
              seed++);
          const auto got = batch.Run();
          for (size_t i = 0; i < 2; ++i) {
            double own = 0, plain = 0;
            batch.Errors(got, i, &own, &plain);
            INFO("heads " << shape.heads << "/" << shape.kv_heads << " dim " << shape.head_dim
                          << " tokens " << n << " block " << block << " density " << density
                          << " mode " << i);
            REQUIRE(own <= 2 * plain + 1e-5);
          }
        }
        if (n > 300) break;
      }
    }
  }
}

TEST_CASE("on the device a mask that keeps everything equals full attention bit for bit") {
  const bool portable = GENERATE(false, true);
  const auto device = Device(portable);
  if (!device) return;
  for (const Shape& shape : kShapes) {
    for (const int block : {32, 64, 128}) {
      const int n = 777;
      Batch full(*device, shape, {{n, AttentionMode::kFull}}, 5);
      Batch sparse(*device, shape, {{n, AttentionMode::kSparse, block, 0, 1, 1, 1.1}}, 5);
      Batch select(*device, shape, {{n, AttentionMode::kFullSelect, block, 1, 2, 1}}, 5);
      const auto want = full.Run();
      const size_t used = static_cast<size_t>(n) * shape.heads * shape.head_dim;
      const auto equal = [&](const std::vector<uint16_t>& got) {
        return std::equal(want.begin(), want.begin() + used, got.begin());
      };
      REQUIRE(equal(sparse.Run()));
      REQUIRE(equal(select.Run()));
      for (int repeat = 0; repeat < 50; ++repeat) REQUIRE(full.Run() == want);
    }
  }
}

TEST_CASE("on the device a sequence's rows do not depend on its batch") {
  const bool portable = GENERATE(false, true);
  const auto device = Device(portable);
  if (!device) return;
  const Shape shape = {4, 2, 128};
  std::vector<Case> cases;
  for (int i = 0; i < 41; ++i) {
    const auto mode = i % 3 == 0   ? AttentionMode::kFull
                      : i % 3 == 1 ? AttentionMode::kSparse
                                   : AttentionMode::kFullSelect;
    const int block = 32 << (i % 2 + (i % 5 == 0 ? 1 : 0));
    cases.push_back({40 + 37 * i % 700, mode, block, 0, 1, 1, 0.4});
  }
  Batch batch(*device, shape, cases, 9);
  const auto together = batch.Run();
  std::vector<std::vector<uint64_t>> masks;
  for (size_t i = 0; i < cases.size(); ++i) {
    masks.push_back(Download<uint64_t>(*device, batch.masks[i].bits,
                                       static_cast<size_t>(batch.masks[i].Bytes() / 8)));
  }
  for (size_t i = 0; i < cases.size(); i += 5) {
    Batch alone(*device, shape, {cases[i]}, 10);
    const auto first = batch.host.begin() + batch.first_rows[i] * batch.width;
    alone.host.assign(first, first + alone.rows * alone.width);
    alone.qkv = Upload(*device, alone.host);
    if (cases[i].mode == AttentionMode::kSparse) {
      REQUIRE(device
                  ->CopyIn(alone.masks[0].bits, batch.host_masks[i].data(),
                           static_cast<size_t>(alone.masks[0].Bytes()))
                  .ok());
    }
    const auto got = alone.Run();
    const size_t row = static_cast<size_t>(shape.heads * shape.head_dim);
    REQUIRE(std::equal(got.begin(), got.begin() + cases[i].tokens * row,
                       together.begin() + batch.first_rows[i] * row));
    REQUIRE(Download<uint64_t>(*device, alone.masks[0].bits,
                               static_cast<size_t>(alone.masks[0].Bytes() / 8)) == masks[i]);
  }
}

TEST_CASE("patterns built on the device follow float64 importances") {
  const bool portable = GENERATE(false, true);
  const auto device = Device(portable);
  if (!device) return;
  for (const float ratio : {1.0f, 1.7f}) {
    for (const int block : {32, 64, 128}) {
      const Shape shape = {4, 2, block == 64 ? 64 : 128};
      const int tokens = 900;
      const int n = (tokens + block - 1) / block;
      const int last = n * 2 / 3;
      Case one = {tokens, AttentionMode::kFullSelect, block, last};
      one.keep_prompt = n / 3 + 1;
      one.keep_canvas = (n - last) / 3 + 1;
      Batch batch(*device, shape, {one}, 77);
      const size_t rows = static_cast<size_t>(shape.heads * n);
      Buffer importance = Upload(*device, std::vector<float>(rows * n, -1));
      Buffer canvas = Upload(*device, std::vector<float>(rows * (n - last), -1));
      batch.ratio = ratio;
      batch.importance = importance.as<float>();
      batch.canvas_importance = canvas.as<float>();
      batch.Run();
      const auto got = Download<float>(*device, importance.data(), rows * n);
      const auto got_canvas = Download<float>(*device, canvas.data(), rows * (n - last));
      const auto bits = Download<uint64_t>(*device, batch.masks[0].bits,
                                           static_cast<size_t>(batch.masks[0].Bytes() / 8));
      for (int head = 0; head < shape.heads; ++head) {
        for (int q = 0; q < n; ++q) {
          std::vector<double> want(n, 0), want_canvas(n - last, 0);
          for (int i = q * block; i < std::min(tokens, (q + 1) * block); ++i) {
            std::vector<double> p(tokens);
            double high = -1e300;
            for (int j = 0; j < tokens; ++j) {
              p[j] = batch.Score(0, head, i, j) * ratio;
              high = std::max(high, p[j]);
            }
            double sum = 0, canvas_sum = 0;
            for (int j = 0; j < tokens; ++j) {
              p[j] = std::exp(p[j] - high);
              sum += p[j];
              if (j >= last * block) canvas_sum += p[j];
            }
            for (int j = 0; j < tokens; ++j) {
              want[j / block] += p[j] / sum / block / block;
              if (j >= last * block)
                want_canvas[j / block - last] += p[j] / canvas_sum / block / block;
            }
          }
          const size_t row = static_cast<size_t>(head * n + q);
          for (int j = 0; j < n; ++j) {
            REQUIRE(got[row * n + j] == Approx(want[j]).epsilon(1e-3).margin(1e-9));
          }
          for (int j = 0; j < n - last; ++j) {
            REQUIRE(got_canvas[row * (n - last) + j] ==
                    Approx(want_canvas[j]).epsilon(1e-3).margin(1e-9));
          }
          // The bits follow the importances the device itself found, ties to the lower column.
          const auto best = [](const float* values, int count, int keep) {
            std::vector<int> order(count);
            for (int i = 0; i < count; ++i) order[i] = i;
            std::stable_sort(order.begin(), order.end(),
                             [&](int a, int b) { return values[a] > values[b]; });
            order.resize(keep);
            return order;
          };
          std::vector<bool> kept(n, false);
          for (const int j : best(&got[row * n], n, one.keep_prompt)) kept[j] = j < last;
          for (const int j : best(&got_canvas[row * (n - last)], n - last, one.keep_canvas)) {
            kept[last + j] = true;
          }
          for (int j = 0; j < n; ++j) {
            const uint64_t word = bits[row * ((n + 63) / 64) + j / 64];
            REQUIRE(((word >> (j % 64)) & 1) == (kept[j] ? 1u : 0u));
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace sparsed::kernels
