// The matrix product of a linear layer on packed weights: float32 (exactly one of gemm_onednn.cc
// and gemm_plain.cc is built) or 8 bits (gemm_int8.cc).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/cpu/vector_ops.h"
#include "kernels/tensor_view.h"

namespace sparsed::kernels {

inline int64_t DivideUp(int64_t a, int64_t b) { return (a + b - 1) / b; }

// One weight. Must not outlive the Gemm that packed it.
class PackedMatrix {
 public:
  virtual ~PackedMatrix() = default;
  // Memory of the packed weights; a bias is not counted.
  virtual size_t bytes() const = 0;
  // out [rows, out] = x W^T + bias, or += x W^T; x [rows, in]; rows x_stride and out_stride floats
  // apart. The bits of a row depend on that row of x (and of out, if accumulate) alone, not on its
  // place, on `rows` or on the threads. Errors: INTERNAL.
  virtual absl::Status Multiply(const float* x, int64_t x_stride, int64_t rows, bool accumulate,
                                float* out, int64_t out_stride) = 0;
};

// What the weights of one backend share. Threads: one caller at a time.
class Gemm {
 public:
  virtual ~Gemm() = default;
  // For the log: "products by oneDNN 2.6.3".
  virtual std::string Name() const = 0;
  // W [out, in] = `parts` below one another, all with the same cols; bias [out], or empty for none.
  // Neither is needed afterwards. Errors: INTERNAL; INVALID_ARGUMENT (too many columns for 8 bits).
  virtual absl::StatusOr<std::unique_ptr<PackedMatrix>> Pack(std::span<const HostMatrix> parts,
                                                             std::span<const float> bias) = 0;
  // The bytes() of a weight [out, in], whatever its bias. Errors: as Pack's.
  virtual absl::StatusOr<size_t> PackedBytes(int64_t out_features, int64_t in_features) = 0;
};

// In float32. `pool` must outlive the result.
std::unique_ptr<Gemm> CreateGemm(ThreadPool& pool);
// In 8 bits, see WeightType::kInt8. `pool` and `ops` must outlive the result.
std::unique_ptr<Gemm> CreateInt8Gemm(ThreadPool& pool, const VectorOps& ops);

}  // namespace sparsed::kernels
