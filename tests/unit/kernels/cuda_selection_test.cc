// Whose columns a select step on the device keeps, by the importances that it finds itself: these
// are looked at in cuda_attention_test.cc. Without a device the cases have nothing to run on and
// say so.
#include "tests/unit/kernels/cuda_attention_batch.h"

namespace sparsed::kernels {
namespace {

// The bits of the `keep` largest of values[0, count), ties to the lower column.
std::vector<bool> Best(const float* values, int count, int keep) {
  std::vector<int> order(count);
  for (int i = 0; i < count; ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return values[a] > values[b]; });
  std::vector<bool> best(count, false);
  for (int i = 0; i < keep; ++i) best[order[i]] = true;
  return best;
}

// Of a sequence with counts by head, beside one without.
void CheckCountsByHead(Backend& device, const Shape& shape, int block, bool isolated, float ratio) {
  const int tokens = 3000;
  const int n = (tokens + block - 1) / block;
  const int last = isolated ? n * 2 / 3 : n;
  Case one = {tokens, AttentionMode::kFullSelect, block, last, 2, isolated ? 1 : 0};
  // Another sequence, of one count for all heads, in the same launch.
  Batch batch(device, shape, {one, one}, 79);
  const size_t rows = static_cast<size_t>(shape.heads * n);
  const size_t canvas_columns = static_cast<size_t>(n - last);
  const Buffer importance = Upload(device, std::vector<float>(rows * n, -1));
  const Buffer canvas = Upload(device, std::vector<float>(rows * canvas_columns + 1, -1));
  std::vector<int32_t> counts;
  for (int head = 0; head < shape.heads; ++head) {
    counts.push_back(head == 0 ? 1 : head == 1 ? n : 3 * head);
    counts.push_back(!isolated ? 0 : head == 0 ? n - last : 1 + head);
  }
  const Buffer device_counts = Upload(device, counts);
  batch.ratio = ratio;
  std::vector<AttentionSequence> sequences = batch.Sequences();
  sequences[0].selection.head_counts = device_counts.as<int32_t>();
  sequences[0].selection.importance = importance.as<float>();
  sequences[0].selection.canvas_importance = canvas.as<float>();
  AttentionParams params = batch.Params();
  params.sequences = sequences;
  REQUIRE(device.Attention(params).ok());
  const auto got = Download<float>(device, importance.data(), rows * n);
  const auto got_canvas = Download<float>(device, canvas.data(), rows * canvas_columns + 1);
  const int words = (n + 63) / 64;
  const auto bits = Download<uint64_t>(device, batch.masks[0].bits, rows * words);
  for (size_t row = 0; row < rows; ++row) {
    INFO("isolated " << isolated << " ratio " << ratio << " row " << row);
    const size_t head = row / n;
    const std::vector<bool> of_all = Best(&got[row * n], n, counts[2 * head]);
    const std::vector<bool> of_canvas =
        Best(&got_canvas[row * canvas_columns], n - last, counts[2 * head + 1]);
    for (int j = 0; j < n; ++j) {
      const bool kept = j < last ? of_all[j] : of_canvas[j - last];
      REQUIRE((bits[row * words + j / 64] >> (j % 64) & 1) == (kept ? 1u : 0u));
    }
  }
  // The same counts for all heads are as if there were none.
  const auto other = Download<uint64_t>(device, batch.masks[1].bits, rows * words);
  for (int head = 0; head < shape.heads; ++head) {
    counts[2 * head] = one.keep_prompt;
    counts[2 * head + 1] = one.keep_canvas;
  }
  REQUIRE(device.CopyIn(device_counts.data(), counts.data(), counts.size() * 4).ok());
  sequences[1].selection.head_counts = device_counts.as<int32_t>();
  const std::vector<uint64_t> none(rows * words, 0);
  REQUIRE(device.CopyIn(batch.masks[1].bits, none.data(), none.size() * 8).ok());
  params.sequences = std::span(&sequences[1], 1);
  REQUIRE(device.Attention(params).ok());
  REQUIRE(Download<uint64_t>(device, batch.masks[1].bits, rows * words) == other);
}

TEST_CASE("on the device each head keeps its own counts of what it finds important") {
  const bool portable = GENERATE(false, true);
  const auto device = Device(portable);
  if (!device) return;
  for (const Shape& shape : {Shape{4, 2, 128}, Shape{3, 3, 64}}) {
    for (const int block : {32, 64, 128}) {
      // Sections, so that the slowest tools can be given one.
      DYNAMIC_SECTION("portable " << portable << ", head_dim " << shape.head_dim << ", blocks of "
                                  << block) {
        for (const bool isolated : {true, false}) {
          for (const float ratio : {1.0f, 2.0f, 1.7f}) {
            CheckCountsByHead(*device, shape, block, isolated, ratio);
          }
        }
      }
    }
  }
}

TEST_CASE("on the device all columns are ranked together where there is no canvas side") {
  const bool portable = GENERATE(false, true);
  const auto device = Device(portable);
  if (!device) return;
  for (const Shape& shape : {Shape{4, 2, 128}, Shape{3, 3, 64}}) {
    for (const int block : {32, 64, 128}) {
      for (const float ratio : {1.0f, 1.7f}) {
        const int tokens = 3000;  // beyond 64 columns with the smallest blocks
        const int n = (tokens + block - 1) / block;
        Batch batch(*device, shape, {{tokens, AttentionMode::kFullSelect, block, n, n / 3 + 1, 0}},
                    78);
        const size_t rows = static_cast<size_t>(shape.heads * n);
        const Buffer importance = Upload(*device, std::vector<float>(rows * n, -1));
        batch.ratio = ratio;
        batch.importance = importance.as<float>();
        batch.Run();
        const auto got = Download<float>(*device, importance.data(), rows * n);
        const auto bits = Download<uint64_t>(*device, batch.masks[0].bits,
                                             static_cast<size_t>(batch.masks[0].Bytes() / 8));
        const int words = (n + 63) / 64;
        for (size_t row = 0; row < rows; ++row) {
          INFO("portable " << portable << " dim " << shape.head_dim << " block " << block
                           << " ratio " << ratio << " row " << row);
          const std::vector<bool> best = Best(&got[row * n], n, n / 3 + 1);
          for (int j = 0; j < n; ++j) {
            REQUIRE((bits[row * words + j / 64] >> (j % 64) & 1) == (best[j] ? 1u : 0u));
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace sparsed::kernels
