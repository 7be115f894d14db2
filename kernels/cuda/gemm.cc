#include "kernels/cuda/gemm.h"

#include <array>
#include <string>

#include "absl/strings/str_cat.h"

namespace sparsed::kernels::cuda {
namespace {

// Rows at which an algorithm is chosen: large enough to be compute-bound.
constexpr int64_t kReferenceRows = 4096;
constexpr int kCandidates = 16;

absl::Status GemmError(const char* what, cublasStatus_t status) {
  return absl::InternalError(
      absl::StrCat("cuBLASLt ", what, ": ", cublasLtGetStatusString(status)));
}

cudaDataType_t TypeOf(DType dtype) { return dtype == DType::kF32 ? CUDA_R_32F : CUDA_R_16BF; }

// The descriptors of one product, column-major as the library sees it: out^T = W x^T.
class Problem {
 public:
  Problem(const LinearWeight& weight, int64_t rows, int64_t x_stride, int64_t out_stride,
          DType out_dtype) {
    cublasLtMatmulDescCreate(&operation, CUBLAS_COMPUTE_32F, CUDA_R_32F);
    const cublasOperation_t transpose = CUBLAS_OP_T;
    cublasLtMatmulDescSetAttribute(operation, CUBLASLT_MATMUL_DESC_TRANSA, &transpose,
                                   sizeof(transpose));
    const auto in = static_cast<uint64_t>(weight.in_features);
    const auto out = static_cast<uint64_t>(weight.out_features);
    const auto count = static_cast<uint64_t>(rows);
    cublasLtMatrixLayoutCreate(&w, CUDA_R_16BF, in, out, weight.in_features);
    cublasLtMatrixLayoutCreate(&x, CUDA_R_16BF, in, count, x_stride);
    cublasLtMatrixLayoutCreate(&y, TypeOf(out_dtype), out, count, out_stride);
  }
  ~Problem() {
    cublasLtMatrixLayoutDestroy(y);
    cublasLtMatrixLayoutDestroy(x);
    cublasLtMatrixLayoutDestroy(w);
    cublasLtMatmulDescDestroy(operation);
  }
  Problem(const Problem&) = delete;
  Problem& operator=(const Problem&) = delete;

  cublasLtMatmulDesc_t operation = nullptr;
  cublasLtMatrixLayout_t w = nullptr;
  cublasLtMatrixLayout_t x = nullptr;
  cublasLtMatrixLayout_t y = nullptr;
};

// An algorithm that splits the reduction adds in an order that depends on the shape.
bool SplitsReduction(const cublasLtMatmulAlgo_t& algorithm) {
  int32_t split = 1;
  uint32_t scheme = 0;
  size_t written = 0;
  cublasLtMatmulAlgoConfigGetAttribute(&algorithm, CUBLASLT_ALGO_CONFIG_SPLITK_NUM, &split,
                                       sizeof(split), &written);
  cublasLtMatmulAlgoConfigGetAttribute(&algorithm, CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME, &scheme,
                                       sizeof(scheme), &written);
  return split > 1 || scheme != CUBLASLT_REDUCTION_SCHEME_NONE;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Gemm>> Gemm::Create(cudaStream_t stream, void* workspace,
                                                   size_t workspace_bytes) {
  std::unique_ptr<Gemm> gemm(new Gemm);
  gemm->stream_ = stream;
  gemm->workspace_ = workspace;
  gemm->workspace_bytes_ = workspace_bytes;
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

absl::StatusOr<cublasLtMatmulAlgo_t> Gemm::Choose(const GemmWeight& weight, DType out_dtype) {
  const Problem problem(weight, kReferenceRows, weight.in_features, weight.out_features, out_dtype);
  cublasLtMatmulPreference_t preference = nullptr;
  cublasLtMatmulPreferenceCreate(&preference);
  const uint32_t schemes = CUBLASLT_REDUCTION_SCHEME_NONE;
  cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                                       &schemes, sizeof(schemes));
  cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                       &workspace_bytes_, sizeof(workspace_bytes_));
  std::array<cublasLtMatmulHeuristicResult_t, kCandidates> candidates;
  int found = 0;
  const cublasStatus_t status =
      cublasLtMatmulAlgoGetHeuristic(handle_, problem.operation, problem.w, problem.x, problem.y,
                                     problem.y, preference, kCandidates, candidates.data(), &found);
  cublasLtMatmulPreferenceDestroy(preference);
  if (status != CUBLAS_STATUS_SUCCESS) return GemmError("heuristic", status);
  for (int i = 0; i < found; ++i) {
    const auto& candidate = candidates[static_cast<size_t>(i)];
    if (candidate.state == CUBLAS_STATUS_SUCCESS && !SplitsReduction(candidate.algo)) {
      return candidate.algo;
    }
  }
  return absl::InternalError(absl::StrCat("cuBLASLt has no algorithm without split reduction for [",
                                          weight.out_features, ", ", weight.in_features, "]"));
}

absl::Status Gemm::ChooseAlgorithms(GemmWeight& weight) {
  const auto bf16 = Choose(weight, DType::kBF16);
  if (!bf16.ok()) return bf16.status();
  const auto f32 = Choose(weight, DType::kF32);
  if (!f32.ok()) return f32.status();
  weight.bf16_algorithm = *bf16;
  weight.f32_algorithm = *f32;
  return absl::OkStatus();
}

absl::Status Gemm::Run(TensorView out, TensorView x, const GemmWeight& weight, bool accumulate) {
  const Problem problem(weight, x.rows, x.stride, out.stride, out.dtype);
  const float alpha = 1;
  const float beta = accumulate ? 1.0f : 0.0f;
  const cublasLtMatmulAlgo_t& algorithm =
      out.dtype == DType::kF32 ? weight.f32_algorithm : weight.bf16_algorithm;
  const cublasStatus_t status = cublasLtMatmul(
      handle_, problem.operation, &alpha, weight.data.data(), problem.w, x.data, problem.x, &beta,
      out.data, problem.y, out.data, problem.y, &algorithm, workspace_, workspace_bytes_, stream_);
  if (status != CUBLAS_STATUS_SUCCESS) {
    return GemmError(absl::StrCat("product of ", x.rows, " rows with [", weight.out_features, ", ",
                                  weight.in_features, "]")
                         .c_str(),
                     status);
  }
  return absl::OkStatus();
}

}  // namespace sparsed::kernels::cuda
