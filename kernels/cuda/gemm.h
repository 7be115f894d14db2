// Matrix products through cuBLASLt: y = x W^T + b, bf16 in, float32 accumulation, to which the bias
// is added before the one rounding.
// Next: gemm_choice.cc (which of the library's algorithms run)
#pragma once

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <tuple>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/backend.h"

namespace sparsed::kernels::cuda {

// Products of up to so many rows may have an algorithm of their own, larger ones the reference.
inline constexpr std::array<int64_t, 8> kRowBuckets = {16, 32, 64, 128, 256, 512, 1024, 2048};

// The algorithms of one shape of weight, with or without bias, and type of output. All give the
// same bits, row by row: the reference's. None splits the reduction, so a row depends on neither
// the batch nor its size.
struct GemmAlgorithms {
  cublasLtMatmulAlgo_t reference;
  std::array<cublasLtMatmulAlgo_t, kRowBuckets.size()> by_rows;

  const cublasLtMatmulAlgo_t& For(int64_t rows) const {
    for (size_t i = 0; i < kRowBuckets.size(); ++i) {
      if (rows <= kRowBuckets[i]) return by_rows[i];
    }
    return reference;
  }
};

// A packed weight: [out, in] bf16 on the device. The algorithms belong to the Gemm.
struct GemmWeight : LinearWeight {
  Buffer data;
  Buffer bias;  // [out] bf16; empty where there is none
  const GemmAlgorithms* to_bf16 = nullptr;
  const GemmAlgorithms* to_f32 = nullptr;  // logits; null where there is a bias
};

class Gemm {
 public:
  // workspace: device memory for the library, borrowed. reference_only: see CudaVariant. Errors:
  // FAILED_PRECONDITION (no cuBLASLt).
  static absl::StatusOr<std::unique_ptr<Gemm>> Create(cudaStream_t stream, void* workspace,
                                                      size_t workspace_bytes, bool reference_only);
  ~Gemm();

  // Sets the weight's algorithms. Its bias stands already; where its shape is new, they are tried,
  // with random numbers in weight.data. Errors: INTERNAL (none fits), RESOURCE_EXHAUSTED.
  absl::Status ChooseAlgorithms(GemmWeight& weight);
  // out [T, out] bf16 or f32; x [T, in] bf16. A weight with a bias gives bf16 and adds to nothing.
  absl::Status Run(TensorView out, TensorView x, const GemmWeight& weight, bool accumulate);

 private:
  using Shape = std::tuple<int64_t, int64_t, bool, DType>;  // in, out, bias, type of the output

  Gemm() = default;
  absl::StatusOr<const GemmAlgorithms*> Choose(const GemmWeight& weight, DType out_dtype);
  absl::Status RunWith(const cublasLtMatmulAlgo_t& algorithm, TensorView out, TensorView x,
                       const GemmWeight& weight, bool accumulate);

  friend class GemmTrial;

  cublasLtHandle_t handle_ = nullptr;
  cudaStream_t stream_ = nullptr;
  void* workspace_ = nullptr;
  size_t workspace_bytes_ = 0;
  bool reference_only_ = false;
  std::map<Shape, GemmAlgorithms> chosen_;
};

// The descriptors of one product, column-major as the library sees it: out^T = W x^T.
class GemmProblem {
 public:
  GemmProblem(const GemmWeight& weight, int64_t rows, int64_t x_stride, int64_t out_stride,
              DType out_dtype);
  ~GemmProblem();
  GemmProblem(const GemmProblem&) = delete;
  GemmProblem& operator=(const GemmProblem&) = delete;

  cublasLtMatmulDesc_t operation = nullptr;
  cublasLtMatrixLayout_t w = nullptr;
  cublasLtMatrixLayout_t x = nullptr;
  cublasLtMatrixLayout_t y = nullptr;
};

absl::Status GemmError(const std::string& what, cublasStatus_t status);

}  // namespace sparsed::kernels::cuda
