// A straightforward deterministic product, left to the compiler to vectorise.

#include <algorithm>
#include <vector>

#include "kernels/cpu/aligned_floats.h"
#include "kernels/cpu/convert.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/int8_product.h"

namespace sparsed::kernels {
namespace {

constexpr int64_t kPanelColumns = 16;
constexpr int64_t kRowTile = 32;
constexpr int64_t kGroupRows = 4;

int64_t PanelsOf(int64_t out_features) {
  return (out_features + kPanelColumns - 1) / kPanelColumns;
}

size_t BytesOf(int64_t panels, int64_t in_features) {
  return static_cast<size_t>(panels * in_features * kPanelColumns) * sizeof(float);
}

// Columns [panel * 16, + 16) of W^T as [in, 16], zero-padded.
class PlainMatrix : public PackedMatrix {
 public:
  PlainMatrix(std::span<const HostMatrix> parts, std::span<const float> bias, int64_t out_features,
              ThreadPool& pool)
      : pool_(pool), in_(parts[0].cols), out_(out_features), panels_(PanelsOf(out_)) {
    bias_.resize(static_cast<size_t>(panels_ * kPanelColumns), 0.0f);
    std::copy(bias.begin(), bias.end(), bias_.begin());
    float* packed = packed_.Reserve(static_cast<size_t>(panels_ * in_ * kPanelColumns));
    std::vector<float> rows(static_cast<size_t>(kPanelColumns * in_));
    for (int64_t panel = 0; panel < panels_; ++panel) {
      std::fill(rows.begin(), rows.end(), 0.0f);
      const int64_t first = panel * kPanelColumns;
      WidenStackedRows(parts, first, std::min(kPanelColumns, out_ - first), rows.data());
      for (int64_t k = 0; k < in_; ++k) {
        for (int64_t c = 0; c < kPanelColumns; ++c)
          *packed++ = rows[static_cast<size_t>(c * in_ + k)];
      }
    }
  }

  size_t bytes() const override { return BytesOf(panels_, in_); }

  absl::Status Multiply(const float* x, int64_t x_stride, int64_t rows, bool accumulate, float* out,
                        int64_t out_stride) override {
    const int64_t row_tiles = (rows + kRowTile - 1) / kRowTile;
    pool_.Run(row_tiles * panels_, [&](int64_t task, int) {
      const int64_t panel = task / row_tiles;
      const int64_t first = task % row_tiles * kRowTile;
      const int64_t last = std::min(rows, first + kRowTile);
      for (int64_t row = first; row < last; row += kGroupRows) {
        MultiplyGroup(panel, x + row * x_stride, x_stride, std::min(kGroupRows, last - row),
                      accumulate, out + row * out_stride, out_stride);
      }
    });
    return absl::OkStatus();
  }

 private:
  // Up to kGroupRows rows by one panel; a missing row repeats the first and is not stored.
  void MultiplyGroup(int64_t panel, const float* x, int64_t x_stride, int64_t rows, bool accumulate,
                     float* out, int64_t out_stride) const {
    const float* weights = packed_.data() + panel * in_ * kPanelColumns;
    const float* from[kGroupRows];
    for (int64_t r = 0; r < kGroupRows; ++r) from[r] = x + (r < rows ? r : 0) * x_stride;
    float sums[kGroupRows][kPanelColumns] = {};
    for (int64_t k = 0; k < in_; ++k) {
      const float* w = weights + k * kPanelColumns;
      for (int64_t r = 0; r < kGroupRows; ++r) {
        const float value = from[r][k];
        for (int64_t c = 0; c < kPanelColumns; ++c) sums[r][c] += value * w[c];
      }
    }
    const int64_t first = panel * kPanelColumns;
    const int64_t columns = std::min(kPanelColumns, out_ - first);
    for (int64_t r = 0; r < rows; ++r) {
      float* to = out + r * out_stride + first;
      const float* bias = bias_.data() + first;
      for (int64_t c = 0; c < columns; ++c) {
        to[c] = accumulate ? to[c] + sums[r][c] : sums[r][c] + bias[c];
      }
    }
  }

  ThreadPool& pool_;
  int64_t in_;
  int64_t out_;
  int64_t panels_;
  std::vector<float> bias_;  // of every column of the panels; zeros where there is none
  AlignedFloats packed_;
};

class PlainGemm : public Gemm {
 public:
  explicit PlainGemm(ThreadPool& pool) : pool_(pool) {}
  std::string Name() const override { return "plain products"; }
  absl::StatusOr<std::unique_ptr<PackedMatrix>> Pack(std::span<const HostMatrix> parts,
                                                     std::span<const float> bias) override {
    int64_t out_features = 0;
    for (const HostMatrix& part : parts) out_features += part.rows;
    return std::unique_ptr<PackedMatrix>(
        std::make_unique<PlainMatrix>(parts, bias, out_features, pool_));
  }
  absl::StatusOr<size_t> PackedBytes(int64_t out_features, int64_t in_features) override {
    return BytesOf(PanelsOf(out_features), in_features);
  }

 private:
  ThreadPool& pool_;
};

}  // namespace

std::unique_ptr<Gemm> CreateGemm(ThreadPool& pool) { return std::make_unique<PlainGemm>(pool); }

std::unique_ptr<Int8Product> CreateOneDnnInt8Product(int64_t, int) { return nullptr; }

}  // namespace sparsed::kernels
