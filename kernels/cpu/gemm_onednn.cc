// Products by oneDNN, each primitive on one thread inside a task of our pool.
//
// A tile of less than kTileRows rows, or a slab of less than kSlabColumns columns, is padded with
// zeros. So a row meets the same instructions whatever the
// number of rows. kTileRows is a multiple of 4 that leaves no remainder of 2 to the AVX2 kernels'
// groups of 6 rows: oneDNN 2.6 sums such a remainder in another order. Slabs of 128 columns keep
// the rows of a weight from falling into the same cache sets, as rows of 2048 or 4096 floats would,
// which halves the speed of the AVX2 kernels.

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/cpu/aligned_floats.h"
#include "kernels/cpu/convert.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/onednn.h"

namespace sparsed::kernels {
namespace {

constexpr int64_t kTileRows = 64;
constexpr int64_t kSlabColumns = 128;

constexpr TileTypes kTypes = {dnnl::memory::data_type::f32, dnnl::memory::data_type::f32,
                              dnnl::memory::data_type::f32};

// What one thread needs to run the tile product of one in_features.
struct Worker {
  dnnl::stream stream;
  dnnl::memory x;
  dnnl::memory out;
  dnnl::memory scratchpad;
  AlignedFloats x_tile;
  AlignedFloats out_tile;
};

// The tile product of all weights with the same in_features.
struct TileProduct {
  int64_t in_features = 0;
  dnnl::matmul::primitive_desc description;
  dnnl::matmul primitive;
  std::vector<Worker> workers;  // by thread

  size_t SlabBytes() const { return description.weights_desc().get_size(); }
};

class OneDnnMatrix : public PackedMatrix {
 public:
  OneDnnMatrix(ThreadPool& pool, TileProduct& product, const dnnl::engine& engine,
               std::span<const HostMatrix> parts, std::span<const float> bias)
      : pool_(pool), product_(product), bias_(bias.begin(), bias.end()) {
    for (const HostMatrix& part : parts) out_features_ += part.rows;
    const int64_t in = product.in_features;
    // A slab's rows of W are its columns of W^T.
    const dnnl::memory::desc transposed({in, kSlabColumns}, dnnl::memory::data_type::f32,
                                        dnnl::memory::format_tag::ba);
    std::vector<float> widened(static_cast<size_t>(kSlabColumns * in));
    dnnl::stream stream(engine);
    for (int64_t first = 0; first < out_features_; first += kSlabColumns) {
      const int64_t columns = std::min(kSlabColumns, out_features_ - first);
      std::fill(widened.begin(), widened.end(), 0.0f);
      WidenStackedRows(parts, first, columns, widened.data());
      dnnl::memory plain(transposed, engine, widened.data());
      dnnl::memory packed(product.description.weights_desc(), engine);
      dnnl::reorder(plain, packed).execute(stream, plain, packed);
      stream.wait();
      slabs_.push_back(std::move(packed));
    }
  }

  size_t bytes() const override { return slabs_.size() * product_.SlabBytes(); }

  absl::Status Multiply(const float* x, int64_t x_stride, int64_t rows, bool accumulate, float* out,
                        int64_t out_stride) override {
    const int64_t tiles = DivideUp(rows, kTileRows);
    const int64_t slabs = static_cast<int64_t>(slabs_.size());
    // Several slabs a task, so that a padded tile is copied once for all of them; enough tasks to
    // keep the threads even.
    const int64_t wanted_tasks = 4 * static_cast<int64_t>(pool_.threads());
    const int64_t groups = std::min(slabs, DivideUp(wanted_tasks, tiles));
    std::atomic<bool> failed = false;
    pool_.Run(tiles * groups, [&](int64_t task, int thread) {
      UseOneOpenMpThread();
      const int64_t row = task / groups * kTileRows;
      const int64_t group = task % groups;
      Worker& worker = product_.workers[static_cast<size_t>(thread)];
      const int64_t tile_rows = std::min(kTileRows, rows - row);
      SetTile(x + row * x_stride, x_stride, tile_rows, worker);
      for (int64_t slab = slabs * group / groups; slab < slabs * (group + 1) / groups; ++slab) {
        if (!MultiplySlab(slab, worker)) {
          failed = true;
          return;
        }
        StoreTile(worker.out_tile.data(), slab, tile_rows, accumulate, out + row * out_stride,
                  out_stride);
      }
    });
    return failed ? absl::InternalError("Linear: oneDNN could not run a product")
                  : absl::OkStatus();
  }

 private:
  // A whole dense tile is read in place.
  void SetTile(const float* x, int64_t x_stride, int64_t rows, Worker& worker) const {
    const int64_t in = product_.in_features;
    if (rows == kTileRows && x_stride == in) {
      worker.x.set_data_handle(const_cast<float*>(x));
      return;
    }
    float* tile = worker.x_tile.Reserve(static_cast<size_t>(kTileRows * in));
    for (int64_t r = 0; r < rows; ++r) {
      std::memcpy(tile + r * in, x + r * x_stride, static_cast<size_t>(in) * sizeof(float));
    }
    std::fill(tile + rows * in, tile + kTileRows * in, 0.0f);
    worker.x.set_data_handle(tile);
  }

  bool MultiplySlab(int64_t slab, Worker& worker) const {
    const std::array<dnnl_exec_arg_t, 4> args = {{
        {DNNL_ARG_SRC, worker.x.get()},
        {DNNL_ARG_WEIGHTS, slabs_[static_cast<size_t>(slab)].get()},
        {DNNL_ARG_DST, worker.out.get()},
        {DNNL_ARG_SCRATCHPAD, worker.scratchpad.get()},
    }};
    return dnnl_primitive_execute(product_.primitive.get(), worker.stream.get(),
                                  static_cast<int>(args.size()), args.data()) == dnnl_success;
  }

  void StoreTile(const float* tile, int64_t slab, int64_t rows, bool accumulate, float* out,
                 int64_t out_stride) const {
    const int64_t first = slab * kSlabColumns;
    const int64_t columns = std::min(kSlabColumns, out_features_ - first);
    for (int64_t r = 0; r < rows; ++r, tile += kSlabColumns) {
      float* to = out + r * out_stride + first;
      if (accumulate) {
        for (int64_t c = 0; c < columns; ++c) to[c] += tile[c];
      } else if (!bias_.empty()) {
        for (int64_t c = 0; c < columns; ++c) to[c] = tile[c] + bias_[first + c];
      } else {
        std::memcpy(to, tile, static_cast<size_t>(columns) * sizeof(float));
      }
    }
  }

  ThreadPool& pool_;
  TileProduct& product_;
  const std::vector<float> bias_;  // [out_features_], or empty
  int64_t out_features_ = 0;
  std::vector<dnnl::memory> slabs_;  // [in, kSlabColumns] each, in the primitive's layout
};

class OneDnnGemm : public Gemm {
 public:
  explicit OneDnnGemm(ThreadPool& pool) : pool_(pool), engine_(dnnl::engine::kind::cpu, 0) {}

  std::string Name() const override {
    const dnnl_version_t* version = dnnl_version();
    return absl::StrCat("products by oneDNN ", version->major, ".", version->minor, ".",
                        version->patch);
  }

  absl::StatusOr<std::unique_ptr<PackedMatrix>> Pack(std::span<const HostMatrix> parts,
                                                     std::span<const float> bias) override {
    UseOneOpenMpThread();
    absl::StatusOr<TileProduct*> product = ProductFor(parts[0].cols);
    if (!product.ok()) return product.status();
    return std::unique_ptr<PackedMatrix>(
        std::make_unique<OneDnnMatrix>(pool_, **product, engine_, parts, bias));
  }

  absl::StatusOr<size_t> PackedBytes(int64_t out_features, int64_t in_features) override {
    absl::StatusOr<TileProduct*> product = ProductFor(in_features);
    if (!product.ok()) return product.status();
    return static_cast<size_t>(DivideUp(out_features, kSlabColumns)) * (*product)->SlabBytes();
  }

 private:
  absl::StatusOr<TileProduct*> ProductFor(int64_t in_features) {
    TileProduct& product = products_[in_features];
    if (!product.workers.empty()) return &product;
    product.in_features = in_features;
    product.description = TileDescription(engine_, {kTileRows, in_features, kSlabColumns}, kTypes);
    if (!product.description) {
      products_.erase(in_features);
      return absl::InternalError(
          absl::StrCat("oneDNN has no float32 product for in_features ", in_features));
    }
    product.primitive = dnnl::matmul(product.description);
    product.workers.resize(static_cast<size_t>(pool_.threads()));
    for (Worker& worker : product.workers) {
      worker.stream = dnnl::stream(engine_);
      float* out = worker.out_tile.Reserve(static_cast<size_t>(kTileRows * kSlabColumns));
      worker.x = dnnl::memory(Matrix(kTileRows, in_features, kTypes.x), engine_, nullptr);
      worker.out = dnnl::memory(Matrix(kTileRows, kSlabColumns, kTypes.out), engine_, out);
      worker.scratchpad = dnnl::memory(product.description.scratchpad_desc(), engine_);
    }
    return &product;
  }

  ThreadPool& pool_;
  dnnl::engine engine_;
  std::map<int64_t, TileProduct> products_;  // by in_features; addresses must stay
};

}  // namespace

std::unique_ptr<Gemm> CreateGemm(ThreadPool& pool) { return std::make_unique<OneDnnGemm>(pool); }

}  // namespace sparsed::kernels
