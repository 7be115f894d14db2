// The product by our own loops; see vector_int8.inc.
#include "kernels/cpu/int8_product.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/cpu/aligned_floats.h"

namespace sparsed::kernels {
namespace {

constexpr int64_t kGroup = 4;  // elements of a row, see Int8PanelArgs
constexpr int64_t kPanels = kInt8SlabColumns / kInt8PanelColumns;
// A piece of a panel that stays in the first-level cache while all rows of a tile meet it.
constexpr int64_t kPieceGroups = 256;

// A slab is its panels one after the other.
class PlainInt8Product : public Int8Product {
 public:
  PlainInt8Product(const VectorOps& ops, int64_t in_features, int threads)
      : ops_(ops), in_(in_features), tiles_(static_cast<size_t>(threads)) {}

  std::string Name() const override { return absl::StrCat(ops_.name, " loops"); }
  size_t slab_bytes() const override { return static_cast<size_t>(in_ * kInt8SlabColumns); }

  void Pack(const int8_t* w, uint8_t* slab) override {
    auto* to = reinterpret_cast<int8_t*>(slab);
    for (int64_t panel = 0; panel < kPanels; ++panel, w += kInt8PanelColumns * in_) {
      for (int64_t k = 0; k < in_; k += kGroup) {
        for (int64_t c = 0; c < kInt8PanelColumns; ++c, to += kGroup) {
          std::copy_n(w + c * in_ + k, kGroup, to);
        }
      }
    }
  }

  void SetRows(const uint8_t* x, int64_t rows, int thread) override {
    Tile& tile = tiles_[static_cast<size_t>(thread)];
    tile.rows = rows;
    int16_t* to = tile.x.Reserve(static_cast<size_t>(kInt8TileRows * in_));
    for (int64_t first = 0; first < in_; first += kPieceGroups * kGroup) {
      const int64_t last = std::min(in_, first + kPieceGroups * kGroup);
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t k = r * in_ + first; k < r * in_ + last; k += kGroup, to += kGroup) {
          to[0] = x[k];
          to[1] = x[k + 2];
          to[2] = x[k + 1];
          to[3] = x[k + 3];
        }
      }
    }
  }

  bool Multiply(const uint8_t* slab, int thread, int32_t* sums) override {
    const Tile& tile = tiles_[static_cast<size_t>(thread)];
    std::fill_n(sums, tile.rows * kInt8SlabColumns, 0);
    const int64_t groups = in_ / kGroup;
    Int8PanelArgs args;
    args.rows = tile.rows;
    args.sums_stride = kInt8SlabColumns;
    for (int64_t first = 0; first < groups; first += kPieceGroups) {
      args.groups = std::min(kPieceGroups, groups - first);
      args.x = tile.x.data() + first * kGroup * tile.rows;
      args.x_stride = args.groups * kGroup;
      for (int64_t panel = 0; panel < kPanels; ++panel) {
        args.panel = reinterpret_cast<const int8_t*>(slab) +
                     (panel * groups + first) * kGroup * kInt8PanelColumns;
        args.sums = sums + panel * kInt8PanelColumns;
        ops_.multiply_int8(args);
      }
    }
    return true;
  }

 private:
  // Piece by piece, so that the rows of one lie close to one another: at a distance of 8 KiB, say,
  // they would fall into the same cache sets.
  struct Tile {
    AlignedArray<int16_t> x;
    int64_t rows = 0;
  };

  const VectorOps& ops_;
  const int64_t in_;
  std::vector<Tile> tiles_;  // by thread
};

}  // namespace

std::unique_ptr<Int8Product> CreatePlainInt8Product(const VectorOps& ops, int64_t in_features,
                                                    int threads) {
  return std::make_unique<PlainInt8Product>(ops, in_features, threads);
}

bool IsExact(Int8Product& product, int64_t in_features) {
  const std::vector<int8_t> w(static_cast<size_t>(kInt8SlabColumns * in_features), 127);
  const std::vector<uint8_t> x(static_cast<size_t>(in_features), 255);
  AlignedArray<uint8_t> slab;
  product.Pack(w.data(), slab.Reserve(product.slab_bytes()));
  AlignedArray<int32_t> sums;
  int32_t* out = sums.Reserve(static_cast<size_t>(kInt8TileRows * kInt8SlabColumns));
  product.SetRows(x.data(), /*rows=*/1, /*thread=*/0);
  if (!product.Multiply(slab.data(), /*thread=*/0, out)) return false;
  const auto exact = static_cast<int32_t>(in_features * 255 * 127);
  return std::all_of(out, out + kInt8SlabColumns, [exact](int32_t sum) { return sum == exact; });
}

}  // namespace sparsed::kernels
