// Matrix products through cuBLASLt: y = x W^T, bf16 in, float32 accumulation.
#pragma once

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/backend.h"

namespace sparsed::kernels::cuda {

// A packed weight: [out, in] bf16 on the device, and the one algorithm that serves it at every
// number of rows. Without split-K a row's bits then depend on neither the batch nor its size.
struct GemmWeight : LinearWeight {
  Buffer data;
  cublasLtMatmulAlgo_t bf16_algorithm;  // bf16 output
  cublasLtMatmulAlgo_t f32_algorithm;   // float32 output (logits)
};

class Gemm {
 public:
  // workspace: device memory for the library, borrowed. Errors: FAILED_PRECONDITION (no cuBLASLt).
  static absl::StatusOr<std::unique_ptr<Gemm>> Create(cudaStream_t stream, void* workspace,
                                                      size_t workspace_bytes);
  ~Gemm();

  // Pins the weight's algorithms. Errors: INTERNAL (none fits).
  absl::Status ChooseAlgorithms(GemmWeight& weight);
  // out [T, out] bf16 or f32; x [T, in] bf16.
  absl::Status Run(TensorView out, TensorView x, const GemmWeight& weight, bool accumulate);

 private:
  Gemm() = default;
  absl::StatusOr<cublasLtMatmulAlgo_t> Choose(const GemmWeight& weight, DType out_dtype);

  cublasLtHandle_t handle_ = nullptr;
  cudaStream_t stream_ = nullptr;
  void* workspace_ = nullptr;
  size_t workspace_bytes_ = 0;
};

}  // namespace sparsed::kernels::cuda
