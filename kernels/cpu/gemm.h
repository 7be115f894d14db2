// The matrix product of a linear layer on packed float32 weights. Exactly one of gemm_onednn.cc and
// gemm_plain.cc is built.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/tensor_view.h"

namespace sparsed::kernels {

// One weight. Must not outlive the Gemm that packed it.
class PackedMatrix {
 public:
  virtual ~PackedMatrix() = default;
  // Memory of the packed weights.
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
  // Name and version, for the log: "oneDNN 2.6.3" or "plain".
  virtual std::string Name() const = 0;
  // W [out, in] = `parts` below one another, all with the same cols; bias [out], or empty for none.
  // Neither is needed afterwards. Errors: INTERNAL.
  virtual absl::StatusOr<std::unique_ptr<PackedMatrix>> Pack(std::span<const HostMatrix> parts,
                                                             std::span<const float> bias) = 0;
  // The bytes() of a weight [out, in] without a bias. Errors: INTERNAL.
  virtual absl::StatusOr<size_t> PackedBytes(int64_t out_features, int64_t in_features) = 0;
};

// `pool` must outlive the result.
std::unique_ptr<Gemm> CreateGemm(ThreadPool& pool);

}  // namespace sparsed::kernels
