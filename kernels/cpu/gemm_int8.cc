// Linear layers in 8 bits: out = (x8 w8^T) * scale of the row * scale of the output + bias.
//
// A row of a weight, and a row of x when it is multiplied, is a scale and integers of [-127, 127],
// its elements rounded to the nearest multiple of the scale. x is multiplied as x8 + 128, which the
// instructions want without a sign; `offset` takes the surplus out of the sums again.

#include <algorithm>
#include <atomic>
#include <map>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/cpu/aligned_floats.h"
#include "kernels/cpu/convert.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/int8_product.h"

namespace sparsed::kernels {
namespace {

constexpr int kZero = 128;            // what 0 is rounded to
constexpr int64_t kFeatureStep = 64;  // in_features is padded to a multiple of it

int64_t Padded(int64_t in_features) { return DivideUp(in_features, kFeatureStep) * kFeatureStep; }

// Where a thread rounds its rows and finds their sums.
struct Scratch {
  AlignedArray<uint8_t> x;     // [kInt8TileRows, padded in]
  AlignedArray<int32_t> sums;  // [kInt8TileRows, kInt8SlabColumns]
  float scales[kInt8TileRows];
};

// The slabs, and a scale and an offset for every output.
size_t MatrixBytes(const Int8Product& product, int64_t out_features) {
  return static_cast<size_t>(DivideUp(out_features, kInt8SlabColumns)) * product.slab_bytes() +
         static_cast<size_t>(out_features) * (sizeof(float) + sizeof(int32_t));
}

class Int8Matrix : public PackedMatrix {
 public:
  Int8Matrix(ThreadPool& pool, const VectorOps& ops, Int8Product& product,
             std::vector<Scratch>& scratch, std::span<const HostMatrix> parts,
             std::span<const float> bias)
      : pool_(pool),
        ops_(ops),
        product_(product),
        scratch_(scratch),
        in_(parts[0].cols),
        bias_(bias.begin(), bias.end()) {
    for (const HostMatrix& part : parts) out_ += part.rows;
    scales_.resize(static_cast<size_t>(out_));
    offsets_.resize(static_cast<size_t>(out_));
    slabs_.Reserve(static_cast<size_t>(slab_count()) * product.slab_bytes());
    pool_.Run(slab_count(), [&](int64_t slab, int) { PackSlab(parts, slab); });
  }

  size_t bytes() const override { return MatrixBytes(product_, out_); }

  absl::Status Multiply(const float* x, int64_t x_stride, int64_t rows, bool accumulate, float* out,
                        int64_t out_stride) override {
    const int64_t tiles = DivideUp(rows, kInt8TileRows);
    // Several slabs a task, so that a tile is rounded once for all of them; enough tasks to keep
    // the threads even.
    const int64_t wanted_tasks = 4 * static_cast<int64_t>(pool_.threads());
    const int64_t groups = std::min(slab_count(), DivideUp(wanted_tasks, tiles));
    std::atomic<bool> failed = false;
    pool_.Run(tiles * groups, [&](int64_t task, int thread) {
      const int64_t row = task / groups * kInt8TileRows;
      const int64_t group = task % groups;
      const int64_t tile_rows = std::min(kInt8TileRows, rows - row);
      Scratch& scratch = scratch_[static_cast<size_t>(thread)];
      RoundRows(x + row * x_stride, x_stride, tile_rows, scratch);
      product_.SetRows(scratch.x.data(), tile_rows, thread);
      int32_t* sums = scratch.sums.Reserve(kInt8TileRows * kInt8SlabColumns);
      for (int64_t slab = slab_count() * group / groups; slab < slab_count() * (group + 1) / groups;
           ++slab) {
        if (!product_.Multiply(Slab(slab), thread, sums)) {
          failed = true;
          return;
        }
        Store(scratch, slab, tile_rows, accumulate, out + row * out_stride, out_stride);
      }
    });
    return failed ? absl::InternalError("Linear: oneDNN could not run an int8 product")
                  : absl::OkStatus();
  }

 private:
  int64_t slab_count() const { return DivideUp(out_, kInt8SlabColumns); }
  uint8_t* Slab(int64_t slab) const {
    return slabs_.data() + static_cast<size_t>(slab) * product_.slab_bytes();
  }

  // Only one slab of the weight is widened by a thread at a time.
  void PackSlab(std::span<const HostMatrix> parts, int64_t slab) {
    const int64_t padded = Padded(in_);
    const int64_t first = slab * kInt8SlabColumns;
    const int64_t columns = std::min(kInt8SlabColumns, out_ - first);
    std::vector<float> widened(static_cast<size_t>(columns * in_));
    WidenStackedRows(parts, first, columns, widened.data());
    std::vector<uint8_t> rounded(static_cast<size_t>(in_));
    std::vector<int8_t> w(static_cast<size_t>(kInt8SlabColumns * padded));
    for (int64_t c = 0; c < columns; ++c) {
      const auto output = static_cast<size_t>(first + c);
      scales_[output] = ops_.round_to_int8(rounded.data(), widened.data() + c * in_, in_);
      int32_t sum = 0;
      for (int64_t k = 0; k < in_; ++k) {
        const int number = rounded[static_cast<size_t>(k)] - kZero;
        w[static_cast<size_t>(c * padded + k)] = static_cast<int8_t>(number);
        sum += number;
      }
      offsets_[output] = kZero * sum;
    }
    product_.Pack(w.data(), Slab(slab));
  }

  void RoundRows(const float* x, int64_t x_stride, int64_t rows, Scratch& scratch) const {
    const int64_t padded = Padded(in_);
    uint8_t* to = scratch.x.Reserve(static_cast<size_t>(kInt8TileRows * padded));
    for (int64_t r = 0; r < rows; ++r, to += padded) {
      scratch.scales[r] = ops_.round_to_int8(to, x + r * x_stride, in_);
      std::fill(to + in_, to + padded, uint8_t{0});
    }
  }

  void Store(const Scratch& scratch, int64_t slab, int64_t rows, bool accumulate, float* out,
             int64_t out_stride) const {
    const int64_t first = slab * kInt8SlabColumns;
    const int64_t columns = std::min(kInt8SlabColumns, out_ - first);
    const float* scales = scales_.data() + first;
    const int32_t* offsets = offsets_.data() + first;
    const float* bias = bias_.empty() ? nullptr : bias_.data() + first;
    const int32_t* sums = scratch.sums.data();
    for (int64_t r = 0; r < rows; ++r, sums += kInt8SlabColumns) {
      const float row_scale = scratch.scales[r];
      const auto value = [&](int64_t c) {
        return static_cast<float>(sums[c] - offsets[c]) * (row_scale * scales[c]);
      };
      float* to = out + r * out_stride + first;
      if (accumulate) {
        for (int64_t c = 0; c < columns; ++c) to[c] += value(c);
      } else if (bias != nullptr) {
        for (int64_t c = 0; c < columns; ++c) to[c] = value(c) + bias[c];
      } else {
        for (int64_t c = 0; c < columns; ++c) to[c] = value(c);
      }
    }
  }

  ThreadPool& pool_;
  const VectorOps& ops_;
  Int8Product& product_;
  std::vector<Scratch>& scratch_;  // by thread
  const int64_t in_;
  int64_t out_ = 0;
  const std::vector<float> bias_;  // [out_], or empty
  std::vector<float> scales_;      // [out_]
  std::vector<int32_t> offsets_;   // [out_], kZero times the sum of the output's integers
  AlignedArray<uint8_t> slabs_;
};

class Int8Gemm : public Gemm {
 public:
  Int8Gemm(ThreadPool& pool, const VectorOps& ops)
      : pool_(pool), ops_(ops), scratch_(static_cast<size_t>(pool.threads())) {}

  std::string Name() const override {
    return absl::StrCat("int8 products by ", MakeProduct(kFeatureStep)->Name());
  }

  absl::StatusOr<std::unique_ptr<PackedMatrix>> Pack(std::span<const HostMatrix> parts,
                                                     std::span<const float> bias) override {
    absl::StatusOr<Int8Product*> product = ProductFor(parts[0].cols);
    if (!product.ok()) return product.status();
    return std::unique_ptr<PackedMatrix>(
        std::make_unique<Int8Matrix>(pool_, ops_, **product, scratch_, parts, bias));
  }

  absl::StatusOr<size_t> PackedBytes(int64_t out_features, int64_t in_features) override {
    absl::StatusOr<Int8Product*> product = ProductFor(in_features);
    if (!product.ok()) return product.status();
    return MatrixBytes(**product, out_features);
  }

 private:
  absl::StatusOr<Int8Product*> ProductFor(int64_t in_features) {
    if (in_features > kMaxInt8Features) {
      return absl::InvalidArgumentError(absl::StrCat("int8 weights of ", in_features,
                                                     " columns; at most ", kMaxInt8Features,
                                                     " can be summed up"));
    }
    std::unique_ptr<Int8Product>& product = products_[Padded(in_features)];
    if (product == nullptr) product = MakeProduct(Padded(in_features));
    return product.get();
  }

  std::unique_ptr<Int8Product> MakeProduct(int64_t in_features) const {
    auto product = CreateOneDnnInt8Product(in_features, pool_.threads());
    if (product != nullptr && IsExact(*product, in_features)) return product;
    return CreatePlainInt8Product(ops_, in_features, pool_.threads());
  }

  ThreadPool& pool_;
  const VectorOps& ops_;
  std::vector<Scratch> scratch_;
  std::map<int64_t, std::unique_ptr<Int8Product>> products_;  // by padded in_features
};

}  // namespace

std::unique_ptr<Gemm> CreateInt8Gemm(ThreadPool& pool, const VectorOps& ops) {
  return std::make_unique<Int8Gemm>(pool, ops);
}

}  // namespace sparsed::kernels
