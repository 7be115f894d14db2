// Which of the library's algorithms serve a shape of weight. The reference is its first proposal
// for a large product. For fewer rows, smaller tiles are faster: the first proposal is taken that
// gives the reference's bits, and the reference itself where none does.
#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/cuda/cuda_status.h"
#include "kernels/cuda/gemm.h"
#include "kernels/cuda/launch.h"

namespace sparsed::kernels::cuda {
namespace {

// Rows at which the reference is chosen: large enough to be compute-bound.
constexpr int64_t kReferenceRows = 4096;
constexpr int kCandidates = 16;
// The output of one trial; larger products keep the reference.
constexpr int64_t kMaxTrialBytes = int64_t{256} << 20;
constexpr uint64_t kWeightSeed = 1;
constexpr uint64_t kInputSeed = 1u << 30;
constexpr uint64_t kOutputSeed = 2u << 30;

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

// The library's proposals for a product of `rows` rows, best first, that split nothing.
absl::StatusOr<std::vector<cublasLtMatmulAlgo_t>> Proposals(cublasLtHandle_t handle,
                                                            const GemmWeight& weight, int64_t rows,
                                                            DType out_dtype,
                                                            size_t workspace_bytes) {
  const GemmProblem problem(weight, rows, weight.in_features, weight.out_features, out_dtype);
  cublasLtMatmulPreference_t preference = nullptr;
  cublasLtMatmulPreferenceCreate(&preference);
  const uint32_t schemes = CUBLASLT_REDUCTION_SCHEME_NONE;
  cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                                       &schemes, sizeof(schemes));
  cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                       &workspace_bytes, sizeof(workspace_bytes));
  std::array<cublasLtMatmulHeuristicResult_t, kCandidates> candidates;
  int found = 0;
  const cublasStatus_t status =
      cublasLtMatmulAlgoGetHeuristic(handle, problem.operation, problem.w, problem.x, problem.y,
                                     problem.y, preference, kCandidates, candidates.data(), &found);
  cublasLtMatmulPreferenceDestroy(preference);
  if (status != CUBLAS_STATUS_SUCCESS) return GemmError("heuristic", status);
  std::vector<cublasLtMatmulAlgo_t> algorithms;
  for (int i = 0; i < found; ++i) {
    const auto& candidate = candidates[static_cast<size_t>(i)];
    if (candidate.state == CUBLAS_STATUS_SUCCESS && !SplitsReduction(candidate.algo)) {
      algorithms.push_back(candidate.algo);
    }
  }
  return algorithms;
}

}  // namespace

// Runs products of one weight, whose memory holds random numbers, and compares their outputs.
class GemmTrial {
 public:
  GemmTrial(Gemm& gemm, const GemmWeight& weight, DType out_dtype)
      : gemm_(gemm), weight_(weight), out_dtype_(out_dtype) {}
  ~GemmTrial() {
    for (void* memory : {x_, expected_, actual_, different_}) cudaFree(memory);
  }
  GemmTrial(const GemmTrial&) = delete;
  GemmTrial& operator=(const GemmTrial&) = delete;

  int64_t RowBytes() const {
    return weight_.out_features * static_cast<int64_t>(DTypeBytes(out_dtype_));
  }

  absl::Status Allocate(int64_t rows) {
    const auto x_elements = rows * weight_.in_features;
    const auto out_bytes = static_cast<size_t>(rows * RowBytes());
    SPARSED_CUDA_RETURN("trial", cudaMalloc(&x_, static_cast<size_t>(x_elements) * 2));
    SPARSED_CUDA_RETURN("trial", cudaMalloc(&expected_, out_bytes));
    SPARSED_CUDA_RETURN("trial", cudaMalloc(&actual_, out_bytes));
    SPARSED_CUDA_RETURN("trial", cudaMalloc(&different_, sizeof(int64_t)));
    SPARSED_CUDA_RETURN(
        "trial", LaunchFillRandom(static_cast<Bf16*>(x_), x_elements, kInputSeed, gemm_.stream_));
    return absl::OkStatus();
  }

  // Whether both give the same bits for `rows` rows, alone and, where that is done, added to what
  // was there. An algorithm that cannot run does not.
  absl::StatusOr<bool> Agree(const cublasLtMatmulAlgo_t& reference,
                             const cublasLtMatmulAlgo_t& candidate, int64_t rows) {
    for (const bool accumulate : {false, true}) {
      // Logits are never added to, nor is a product with a bias.
      if (accumulate && (out_dtype_ == DType::kF32 || weight_.has_bias)) break;
      if (absl::Status status = Product(reference, expected_, rows, accumulate); !status.ok()) {
        return status;
      }
      if (!Product(candidate, actual_, rows, accumulate).ok()) return false;
      SPARSED_CUDA_RETURN(
          "trial", LaunchCountDifferences(static_cast<uint32_t*>(expected_),
                                          static_cast<uint32_t*>(actual_), rows * RowBytes() / 4,
                                          static_cast<int64_t*>(different_), gemm_.stream_));
      int64_t different = 0;
      SPARSED_CUDA_RETURN("trial", cudaMemcpyAsync(&different, different_, sizeof(different),
                                                   cudaMemcpyDeviceToHost, gemm_.stream_));
      SPARSED_CUDA_RETURN("trial", cudaStreamSynchronize(gemm_.stream_));
      if (different != 0) return false;
    }
    return true;
  }

 private:
  absl::Status Product(const cublasLtMatmulAlgo_t& algorithm, void* out, int64_t rows,
                       bool accumulate) {
    if (accumulate) {
      SPARSED_CUDA_RETURN("trial",
                          LaunchFillRandom(static_cast<Bf16*>(out), rows * weight_.out_features,
                                           kOutputSeed, gemm_.stream_));
    }
    const int64_t in = weight_.in_features;
    const int64_t features = weight_.out_features;
    return gemm_.RunWith(algorithm, {out, out_dtype_, rows, features, features},
                         {x_, DType::kBF16, rows, in, in}, weight_, accumulate);
  }

  Gemm& gemm_;
  const GemmWeight& weight_;
  const DType out_dtype_;
  void* x_ = nullptr;
  void* expected_ = nullptr;
  void* actual_ = nullptr;
  void* different_ = nullptr;
};

absl::Status Gemm::ChooseAlgorithms(GemmWeight& weight) {
  const auto to_bf16 = Choose(weight, DType::kBF16);
  if (!to_bf16.ok()) return to_bf16.status();
  weight.to_bf16 = *to_bf16;
  if (weight.has_bias) return absl::OkStatus();
  const auto to_f32 = Choose(weight, DType::kF32);
  if (!to_f32.ok()) return to_f32.status();
  weight.to_f32 = *to_f32;
  return absl::OkStatus();
}

absl::StatusOr<const GemmAlgorithms*> Gemm::Choose(const GemmWeight& weight, DType out_dtype) {
  const Shape shape = {weight.in_features, weight.out_features, weight.has_bias, out_dtype};
  if (const auto known = chosen_.find(shape); known != chosen_.end()) return &known->second;
  const auto large = Proposals(handle_, weight, kReferenceRows, out_dtype, workspace_bytes_);
  if (!large.ok()) return large.status();
  if (large->empty()) {
    return absl::InternalError(
        absl::StrCat("cuBLASLt has no algorithm without split reduction for [", weight.out_features,
                     ", ", weight.in_features, "]"));
  }
  GemmAlgorithms algorithms;
  algorithms.reference = large->front();
  algorithms.by_rows.fill(algorithms.reference);
  if (reference_only_) return &chosen_.emplace(shape, algorithms).first->second;

  GemmTrial trial(*this, weight, out_dtype);
  const int64_t most_rows = std::min(kRowBuckets.back(), kMaxTrialBytes / trial.RowBytes());
  SPARSED_CUDA_RETURN(
      "trial", LaunchFillRandom(weight.data.as<Bf16>(), weight.in_features * weight.out_features,
                                kWeightSeed, stream_));
  if (absl::Status status = trial.Allocate(most_rows); !status.ok()) return status;
  for (size_t i = 0; i < kRowBuckets.size() && kRowBuckets[i] <= most_rows; ++i) {
    const auto proposals = Proposals(handle_, weight, kRowBuckets[i], out_dtype, workspace_bytes_);
    if (!proposals.ok()) return proposals.status();
    for (const cublasLtMatmulAlgo_t& proposal : *proposals) {
      const auto agree = trial.Agree(algorithms.reference, proposal, kRowBuckets[i]);
      if (!agree.ok()) return agree.status();
      if (!*agree) continue;
      algorithms.by_rows[i] = proposal;
      break;
    }
  }
  return &chosen_.emplace(shape, algorithms).first->second;
}

}  // namespace sparsed::kernels::cuda
