// The product of 8-bit integers by oneDNN, for processors with VNNI or AMX.
#include <array>
#include <cstring>
#include <utility>
#include <vector>

#include "kernels/cpu/aligned_floats.h"
#include "kernels/cpu/int8_product.h"
#include "kernels/cpu/onednn.h"

namespace sparsed::kernels {
namespace {

constexpr TileTypes kInt8Types = {dnnl::memory::data_type::u8, dnnl::memory::data_type::s8,
                                  dnnl::memory::data_type::s32};

class OneDnnInt8Product : public Int8Product {
 public:
  OneDnnInt8Product(const dnnl::engine& engine, dnnl::matmul::primitive_desc description,
                    int64_t in_features, int threads)
      : engine_(engine),
        description_(std::move(description)),
        primitive_(description_),
        in_(in_features),
        workers_(static_cast<size_t>(threads)) {
    for (Worker& worker : workers_) {
      worker.stream = dnnl::stream(engine_);
      worker.x = dnnl::memory(Matrix(kInt8TileRows, in_, kInt8Types.x), engine_, nullptr);
      worker.weights = dnnl::memory(description_.weights_desc(), engine_, nullptr);
      worker.sums =
          dnnl::memory(Matrix(kInt8TileRows, kInt8SlabColumns, kInt8Types.out), engine_, nullptr);
      worker.scratchpad = dnnl::memory(description_.scratchpad_desc(), engine_);
    }
  }

  std::string Name() const override { return "oneDNN"; }
  size_t slab_bytes() const override { return description_.weights_desc().get_size(); }

  void Pack(const int8_t* w, uint8_t* slab) override {
    UseOneOpenMpThread();
    // A slab's rows of W are its columns of W^T.
    const dnnl::memory::desc transposed({in_, kInt8SlabColumns}, kInt8Types.weights,
                                        dnnl::memory::format_tag::ba);
    dnnl::memory plain(transposed, engine_, const_cast<int8_t*>(w));
    dnnl::memory packed(description_.weights_desc(), engine_, slab);
    dnnl::stream stream(engine_);
    dnnl::reorder(plain, packed).execute(stream, plain, packed);
    stream.wait();
  }

  // A shorter tile is followed by rows of an earlier one, whose sums do not count.
  void SetRows(const uint8_t* x, int64_t rows, int thread) override {
    Worker& worker = workers_[static_cast<size_t>(thread)];
    if (rows == kInt8TileRows) {
      worker.x.set_data_handle(const_cast<uint8_t*>(x));
      return;
    }
    uint8_t* tile = worker.x_tile.data();
    if (tile == nullptr) {
      const auto bytes = static_cast<size_t>(kInt8TileRows * in_);
      tile = worker.x_tile.Reserve(bytes);
      std::memset(tile, 0, bytes);
    }
    std::memcpy(tile, x, static_cast<size_t>(rows * in_));
    worker.x.set_data_handle(tile);
  }

  bool Multiply(const uint8_t* slab, int thread, int32_t* sums) override {
    UseOneOpenMpThread();
    Worker& worker = workers_[static_cast<size_t>(thread)];
    worker.weights.set_data_handle(const_cast<uint8_t*>(slab));
    worker.sums.set_data_handle(sums);
    const std::array<dnnl_exec_arg_t, 4> args = {{
        {DNNL_ARG_SRC, worker.x.get()},
        {DNNL_ARG_WEIGHTS, worker.weights.get()},
        {DNNL_ARG_DST, worker.sums.get()},
        {DNNL_ARG_SCRATCHPAD, worker.scratchpad.get()},
    }};
    return dnnl_primitive_execute(primitive_.get(), worker.stream.get(),
                                  static_cast<int>(args.size()), args.data()) == dnnl_success;
  }

 private:
  struct Worker {
    dnnl::stream stream;
    dnnl::memory x;
    dnnl::memory weights;
    dnnl::memory sums;
    dnnl::memory scratchpad;
    AlignedArray<uint8_t> x_tile;
  };

  const dnnl::engine engine_;
  const dnnl::matmul::primitive_desc description_;
  const dnnl::matmul primitive_;
  const int64_t in_;
  std::vector<Worker> workers_;  // by thread
};

}  // namespace

std::unique_ptr<Int8Product> CreateOneDnnInt8Product(int64_t in_features, int threads) {
  const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  dnnl::matmul::primitive_desc description =
      TileDescription(engine, {kInt8TileRows, in_features, kInt8SlabColumns}, kInt8Types);
  if (!description) return nullptr;
  return std::make_unique<OneDnnInt8Product>(engine, std::move(description), in_features, threads);
}

}  // namespace sparsed::kernels
