// Attention and selection on the device against float64 on the host and against themselves. Without
// a device the cases have nothing to run on and say so.
#include "tests/unit/kernels/cuda_attention_batch.h"

namespace sparsed::kernels {
namespace {

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

TEST_CASE("on the device a sequence of NaN leaves its neighbours' rows as they are") {
  const bool portable = GENERATE(false, true);
  const auto device = Device(portable);
  if (!device) return;
  for (const Shape& shape : kShapes) {
    std::vector<Case> cases;
    for (const int tokens : {64, 30, 190, 64, 257, 128, 65, 1, 320}) {
      cases.push_back(
          {tokens, cases.size() % 4 < 2 ? AttentionMode::kFull : AttentionMode::kFullSelect, 32});
    }
    Batch batch(*device, shape, cases, 21);
    const auto want = batch.Run();
    for (size_t i = 1; i < cases.size(); i += 2) {
      const auto first = batch.host.begin() + batch.first_rows[i] * batch.width;
      std::fill(first, first + AlignUp(cases[i].tokens) * batch.width, uint16_t{0x7fc0});
    }
    batch.qkv = Upload(*device, batch.host);
    const auto got = batch.Run();
    const int64_t cols = shape.heads * shape.head_dim;
    for (size_t i = 0; i < cases.size(); i += 2) {
      INFO("heads " << shape.heads << " dim " << shape.head_dim << " sequence " << i);
      const auto from = batch.first_rows[i] * cols;
      REQUIRE(std::equal(want.begin() + from, want.begin() + from + cases[i].tokens * cols,
                         got.begin() + from));
    }
  }
}

TEST_CASE("on the device a row whose mask keeps nothing is 0, between others and of NaN too") {
  const bool portable = GENERATE(false, true);
  const auto device = Device(portable);
  if (!device) return;
  for (const Shape& shape : {Shape{16, 4, 128}, Shape{16, 16, 64}}) {
    // More items than a device has multiprocessors, the first and the last of them empty.
    constexpr AttentionMode kSparse = AttentionMode::kSparse;
    const std::vector<Case> cases = {
        {700, kSparse, 128, 0, 1, 1, 0},    {900, kSparse, 64, 0, 1, 1, 0.06},
        {257, kSparse, 32, 0, 1, 1, 0},     {500, AttentionMode::kFull},
        {640, kSparse, 128, 0, 1, 1, 0.15}, {300, kSparse, 64, 0, 1, 1, 0}};
    Batch batch(*device, shape, cases, 31);
    for (const size_t i : {0, 2, 5}) {
      const auto first = batch.host.begin() + batch.first_rows[i] * batch.width;
      std::fill(first, first + AlignUp(cases[i].tokens) * batch.width, uint16_t{0x7fc0});
    }
    batch.qkv = Upload(*device, batch.host);
    const auto got = batch.Run();
    const int64_t cols = shape.heads * shape.head_dim;
    for (const size_t i : {0, 2, 5}) {
      const auto from = got.begin() + batch.first_rows[i] * cols;
      INFO("portable " << portable << " dim " << shape.head_dim << " sequence " << i);
      REQUIRE(std::all_of(from, from + cases[i].tokens * cols,
                          [](uint16_t bits) { return FromBits(bits) == 0; }));
    }
    for (const size_t i : {1, 3, 4}) {
      double own = 0;
      double plain = 0;
      batch.Errors(got, i, &own, &plain);
      INFO("portable " << portable << " dim " << shape.head_dim << " sequence " << i);
      REQUIRE(own <= 2 * plain + 1e-5);
    }
  }
}

TEST_CASE("on the device the rows of a query range are those of the whole sequence") {
  const bool portable = GENERATE(false, true);
  const auto device = Device(portable);
  if (!device) return;
  for (const Shape& shape : kShapes) {
    std::vector<Case> cases = {{700, AttentionMode::kFull}, {129, AttentionMode::kFull}};
    for (const int block : {32, 64, 128}) {
      cases.push_back({900, AttentionMode::kSparse, block, 0, 1, 1, 0.4});
    }
    const std::vector<QueryRange> ranges = {
        {128, 256, 0}, {128, 1, 0}, {0, 128, 0}, {768, 132, 0}, {0, 900, 0}};
    Batch batch(*device, shape, cases, 12);
    const auto whole = batch.Run();
    const auto part = batch.Run(ranges);
    const int64_t cols = shape.heads * shape.head_dim;
    int64_t row = 0;
    for (size_t i = 0; i < cases.size(); ++i) {
      const auto want = whole.begin() + (batch.first_rows[i] + ranges[i].first_token) * cols;
      INFO("heads " << shape.heads << " dim " << shape.head_dim << " sequence " << i);
      REQUIRE(std::equal(want, want + ranges[i].num_tokens * cols, part.begin() + row * cols));
      row += AlignUp(ranges[i].num_tokens);
    }
  }
}

// So long that the blocks of the grid keep in step (cuda_attention.cc), through several rounds.
TEST_CASE("on the device a row of a sequence beyond the cache is that of its query range") {
  const bool portable = GENERATE(false, true);
  const auto device = Device(portable);
  if (!device) return;
  Batch batch(*device, {1, 1, 64}, {{120000, AttentionMode::kFull}}, 15);
  const QueryRange range = {119936, 64, 0};
  const auto part = batch.Run({range});
  const auto whole = batch.Run();
  const auto want = whole.begin() + range.first_token * 64;
  REQUIRE(std::equal(want, want + range.num_tokens * 64, part.begin()));
  REQUIRE(batch.Run() == whole);
}

TEST_CASE("on the device a query range selects what its blocks select among all") {
  const bool portable = GENERATE(false, true);
  const auto device = Device(portable);
  if (!device) return;
  for (const Shape& shape : kShapes) {
    for (const int block : {32, 64, 128}) {
      for (const float ratio : {1.0f, 1.7f}) {
        const int n = (900 + block - 1) / block;
        Batch batch(*device, shape, {{900, AttentionMode::kFullSelect, block, n / 2, 2, 1}}, 21);
        batch.ratio = ratio;
        const size_t values = static_cast<size_t>(shape.heads) * n * n;
        const Buffer importance = Upload(*device, std::vector<float>(values, -1));
        batch.importance = importance.as<float>();
        const auto masks = [&] {
          return Download<uint64_t>(*device, batch.masks[0].bits,
                                    static_cast<size_t>(batch.masks[0].Bytes() / 8));
        };
        const auto whole_out = batch.Run();
        const auto whole_masks = masks();
        const auto whole = Download<float>(*device, importance.data(), values);
        const int64_t cols = shape.heads * shape.head_dim;
        for (const QueryRange& range : std::vector<QueryRange>{{0, 128, 0}, {768, 132, 0}}) {
          INFO("portable " << portable << " heads " << shape.heads << " dim " << shape.head_dim
                           << " block " << block << " ratio " << ratio << " from "
                           << range.first_token);
          const std::vector<uint64_t> none(whole_masks.size(), 0);
          REQUIRE(device->CopyIn(batch.masks[0].bits, none.data(), none.size() * 8).ok());
          const std::vector<float> unset(values, -1);
          REQUIRE(device->CopyIn(importance.data(), unset.data(), values * sizeof(float)).ok());
          const auto part_out = batch.Run({range});
          const auto from = whole_out.begin() + range.first_token * cols;
          REQUIRE(std::equal(from, from + range.num_tokens * cols, part_out.begin()));
          const auto part_masks = masks();
          const auto part = Download<float>(*device, importance.data(), values);
          const int first = static_cast<int>(range.first_token) / block;
          const int blocks = (static_cast<int>(range.num_tokens) + block - 1) / block;
          for (int head = 0; head < shape.heads; ++head) {
            for (int row = 0; row < n; ++row) {
              const bool asked = row >= first && row < first + blocks;
              REQUIRE(part_masks[head * n + row] == (asked ? whole_masks[head * n + row] : 0));
              if (!asked) continue;
              const auto want = whole.begin() + (head * n + row) * n;
              REQUIRE(std::equal(want, want + n, part.begin() + (head * blocks + row - first) * n));
            }
          }
          // Nothing beyond the blocks asked for.
          for (size_t i = static_cast<size_t>(shape.heads) * blocks * n; i < values; ++i) {
            REQUIRE(part[i] == -1);
          }
        }
      }
    }
  }
}

TEST_CASE("query ranges that the device cannot keep to are refused") {
  const auto device = Device();
  if (!device) return;
  for (const bool select : {false, true}) {
    Batch batch(*device, {1, 1, 64},
                {{300, select ? AttentionMode::kFullSelect : AttentionMode::kFull}}, 13);
    std::vector<AttentionSequence> sequences = batch.Sequences();
    AttentionParams params = batch.Params();
    params.sequences = sequences;
    REQUIRE(device->Attention(params).ok());
    sequences[0].queries = QueryRange{128, 172, 128};
    REQUIRE(device->Attention(params).ok());
    for (const QueryRange& range : std::vector<QueryRange>{
             {64, 128, 0}, {0, 100, 0}, {0, 128, 32}, {0, 0, 0}, {-128, 128, 0}, {256, 128, 0}}) {
      sequences[0].queries = range;
      REQUIRE(device->Attention(params).code() == absl::StatusCode::kInvalidArgument);
    }
  }
}

TEST_CASE(
    "on the device a select step's patterns do not depend on other exponents or blocks in a "
    "batch") {
  const bool portable = GENERATE(false, true);
  const auto device = Device(portable);
  if (!device) return;
  const Shape shape = {4, 2, 128};
  const std::vector<float> ratios = {1, 1, 1, 1.7f, 2, 2, 0.5f};
  std::vector<Case> cases;
  for (size_t i = 0; i < ratios.size(); ++i) {
    cases.push_back(
        {500 + 100 * static_cast<int>(i), AttentionMode::kFullSelect, 32 << (i % 3), 1, 2, 1});
    cases.push_back({300, AttentionMode::kSparse, 64, 0, 1, 1, 0.5});
  }
  Batch batch(*device, shape, cases, 14);
  std::vector<AttentionSequence> sequences = batch.Sequences();
  for (size_t i = 0; i < ratios.size(); ++i) sequences[2 * i].selection.scale *= ratios[i];
  const auto masks = [&] {
    std::vector<std::vector<uint64_t>> out;
    for (const BlockMaskView& mask : batch.masks) {
      out.push_back(Download<uint64_t>(*device, mask.bits, static_cast<size_t>(mask.Bytes() / 8)));
    }
    return out;
  };
  AttentionParams params = batch.Params();
  params.sequences = sequences;
  REQUIRE(device->Attention(params).ok());
  const auto together = masks();
  for (size_t i = 0; i < sequences.size(); i += 2) {
    const std::vector<uint64_t> empty(together[i].size(), 0);
    REQUIRE(device->CopyIn(batch.masks[i].bits, empty.data(), empty.size() * 8).ok());
    params.sequences = std::span(&sequences[i], 1);
    REQUIRE(device->Attention(params).ok());
  }
  REQUIRE(masks() == together);
}

TEST_CASE("patterns built on the device follow float64 importances") {
  const bool portable = GENERATE(false, true);
  const auto device = Device(portable);
  if (!device) return;
  for (const float ratio : {1.0f, 2.0f, 1.7f}) {
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
