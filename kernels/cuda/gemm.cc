#include "kernels/cuda/gemm.h"

#include <string>

#include "absl/strings/str_cat.h"

namespace sparsed::kernels::cuda {
namespace {

cudaDataType_t TypeOf(DType dtype) { return dtype == DType::kF32 ? CUDA_R_32F : CUDA_R_16BF; }

}  // namespace

absl::Status GemmError(const std::string& what, cublasStatus_t status) {
  return absl::InternalError(
      absl::StrCat("cuBLASLt ", what, ": ", cublasLtGetStatusString(status)));
}

GemmProblem::GemmProblem(const GemmWeight& weight, int64_t rows, int64_t x_stride,
                         int64_t out_stride, DType out_dtype) {
  cublasLtMatmulDescCreate(&operation, CUBLAS_COMPUTE_32F, CUDA_R_32F);
  const cublasOperation_t transpose = CUBLAS_OP_T;
  cublasLtMatmulDescSetAttribute(operation, CUBLASLT_MATMUL_DESC_TRANSA, &transpose,
                                 sizeof(transpose));
  if (weight.has_bias) {
    const cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_BIAS;
    const void* bias = weight.bias.data();
    cublasLtMatmulDescSetAttribute(operation, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue,
                                   sizeof(epilogue));
    cublasLtMatmulDescSetAttribute(operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias,
                                   sizeof(bias));
  }
  const auto in = static_cast<uint64_t>(weight.in_features);
  const auto out = static_cast<uint64_t>(weight.out_features);
  const auto count = static_cast<uint64_t>(rows);
  cublasLtMatrixLayoutCreate(&w, CUDA_R_16BF, in, out, weight.in_features);
  cublasLtMatrixLayoutCreate(&x, CUDA_R_16BF, in, count, x_stride);
  cublasLtMatrixLayoutCreate(&y, TypeOf(out_dtype), out, count, out_stride);
}

GemmProblem::~GemmProblem() {
  cublasLtMatrixLayoutDestroy(y);
  cublasLtMatrixLayoutDestroy(x);
  cublasLtMatrixLayoutDestroy(w);
  cublasLtMatmulDescDestroy(operation);
}

absl::StatusOr<std::unique_ptr<Gemm>> Gemm::Create(cudaStream_t stream, void* workspace,
                                                   size_t workspace_bytes, bool reference_only) {
  std::unique_ptr<Gemm> gemm(new Gemm);
  gemm->stream_ = stream;
  gemm->workspace_ = workspace;
  gemm->workspace_bytes_ = workspace_bytes;
  gemm->reference_only_ = reference_only;
  if (const cublasStatus_t status = cublasLtCreate(&gemm->handle_);
      status != CUBLAS_STATUS_SUCCESS) {
    return absl::FailedPreconditionError(
        absl::StrCat("cuBLASLt: ", cublasLtGetStatusString(status)));
  }
  return gemm;
}

Gemm::~Gemm() {
  if (handle_ != nullptr) cublasLtDestroy(handle_);
}

absl::Status Gemm::Run(TensorView out, TensorView x, const GemmWeight& weight, bool accumulate) {
  const GemmAlgorithms& algorithms = out.dtype == DType::kF32 ? *weight.to_f32 : *weight.to_bf16;
  return RunWith(algorithms.For(x.rows), out, x, weight, accumulate);
}

absl::Status Gemm::RunWith(const cublasLtMatmulAlgo_t& algorithm, TensorView out, TensorView x,
                           const GemmWeight& weight, bool accumulate) {
  const GemmProblem problem(weight, x.rows, x.stride, out.stride, out.dtype);
  const float alpha = 1;
  const float beta = accumulate ? 1.0f : 0.0f;
  const cublasStatus_t status = cublasLtMatmul(
      handle_, problem.operation, &alpha, weight.data.data(), problem.w, x.data, problem.x, &beta,
      out.data, problem.y, out.data, problem.y, &algorithm, workspace_, workspace_bytes_, stream_);
  if (status == CUBLAS_STATUS_SUCCESS) return absl::OkStatus();
  return GemmError(absl::StrCat("product of ", x.rows, " rows with [", weight.out_features, ", ",
                                weight.in_features, "]"),
                   status);
}

}  // namespace sparsed::kernels::cuda
