#include "kernels/cuda/cuda_backend.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/cuda/cuda_status.h"
#include "kernels/cuda/views.h"

namespace sparsed::kernels::cuda {

absl::StatusOr<std::unique_ptr<CudaBackend>> CudaBackend::Create(int ordinal,
                                                                 const CudaVariant& variant) {
  int count = 0;  // left unwritten where there is no driver
  const cudaError_t found = cudaGetDeviceCount(&count);
  if (found != cudaSuccess || count == 0) {
    return absl::FailedPreconditionError(absl::StrCat(
        "no CUDA device: ", found == cudaSuccess ? "none found" : cudaGetErrorString(found)));
  }
  if (ordinal < 0 || ordinal >= count) {
    return absl::FailedPreconditionError(
        absl::StrCat("no CUDA device ", ordinal, ": there are ", count));
  }
  cudaDeviceProp properties;
  SPARSED_CUDA_RETURN("cudaGetDeviceProperties", cudaGetDeviceProperties(&properties, ordinal));
  if (properties.major < 8) {
    return absl::FailedPreconditionError(absl::StrCat(properties.name, " has compute capability ",
                                                      properties.major, ".", properties.minor,
                                                      "; 8.0 or newer is needed"));
  }
  SPARSED_CUDA_RETURN("cudaSetDevice", cudaSetDevice(ordinal));
  std::unique_ptr<CudaBackend> backend(new CudaBackend);
  backend->ordinal_ = ordinal;
  backend->multiprocessors_ = properties.multiProcessorCount;
  backend->cache_bytes_ = properties.l2CacheSize;
  backend->memory_total_bytes_ = properties.totalGlobalMem;
  backend->description_ =
      absl::StrCat(properties.name, ", compute capability ", properties.major, ".",
                   properties.minor, ", ", properties.totalGlobalMem >> 20, " MiB");
  backend->hopper_ = !variant.portable && properties.major == 9 && properties.minor == 0;
  if (backend->hopper_) {
    cudaDriverEntryPointQueryResult result;
    SPARSED_CUDA_RETURN(
        "cuTensorMapEncodeTiled",
        cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &backend->encode_map_, 12000,
                                         cudaEnableDefault, &result));
    if (result != cudaDriverEntryPointSuccess) {
      return absl::FailedPreconditionError("the driver has no cuTensorMapEncodeTiled");
    }
  }
  SPARSED_CUDA_RETURN("cudaStreamCreate",
                      cudaStreamCreateWithFlags(&backend->stream_, cudaStreamNonBlocking));
  auto staging = Staging::Create(backend->stream_);
  if (!staging.ok()) return staging.status();
  backend->staging_ = std::move(*staging);
  auto workspace = backend->Alloc(kGemmWorkspaceBytes);
  if (!workspace.ok()) return workspace.status();
  backend->gemm_workspace_ = std::move(*workspace);
  auto scratch = backend->Alloc(kAttentionScratchBytes);
  if (!scratch.ok()) return scratch.status();
  backend->attention_scratch_ = std::move(*scratch);
  auto counter = backend->Alloc(sizeof(uint32_t));
  if (!counter.ok()) return counter.status();
  backend->items_begun_ = std::move(*counter);
  auto gemm = Gemm::Create(backend->stream_, backend->gemm_workspace_.data(), kGemmWorkspaceBytes,
                           variant.reference_products);
  if (!gemm.ok()) return gemm.status();
  backend->gemm_ = std::move(*gemm);
  return backend;
}

CudaBackend::~CudaBackend() {
  if (stream_ != nullptr) cudaStreamSynchronize(stream_);
  gemm_.reset();
  staging_.reset();
  if (stream_ != nullptr) cudaStreamDestroy(stream_);
}

BackendInfo CudaBackend::Info() const {
  BackendInfo info;
  info.device = absl::StrCat("cuda:", ordinal_);
  info.description = description_;
  info.weights = "bf16";
  info.activation_dtype = DType::kBF16;
  info.has_experts = true;
  info.row_alignment = kRowAlignment;
  info.splits_keys = true;
  info.memory_total_bytes = memory_total_bytes_;
  info.allocated_bytes = *allocated_bytes_;
  size_t free_bytes = 0;
  size_t total_bytes = 0;
  if (cudaMemGetInfo(&free_bytes, &total_bytes) == cudaSuccess) info.memory_free_bytes = free_bytes;
  return info;
}

absl::Status CudaBackend::Embed(TensorView out, TensorView table, const int32_t* ids) {
  SPARSED_CHECK_BF16("Embed", out);
  SPARSED_CHECK_BF16("Embed", table);
  SPARSED_CUDA_RETURN("Embed", LaunchEmbed(AsBf16(out), out.stride, AsBf16(table), ids, out.rows,
                                           out.cols, stream_));
  return absl::OkStatus();
}

absl::Status CudaBackend::RmsNorm(TensorView out, TensorView x, const float* weight, float eps) {
  SPARSED_CHECK_BF16("RmsNorm", out);
  SPARSED_CHECK_BF16("RmsNorm", x);
  SPARSED_CUDA_RETURN("RmsNorm", LaunchRmsNorm(AsBf16(out), out.stride, AsBf16(x), x.stride, weight,
                                               eps, x.rows, x.cols, stream_));
  return absl::OkStatus();
}

absl::Status CudaBackend::Linear(TensorView out, TensorView x, const LinearWeight& weight,
                                 bool accumulate) {
  SPARSED_CHECK_BF16("Linear", x);
  if (x.cols != weight.in_features || out.cols != weight.out_features || out.rows != x.rows) {
    return absl::InvalidArgumentError(
        absl::StrCat("Linear: [", x.rows, ", ", x.cols, "] times [", weight.out_features, ", ",
                     weight.in_features, "] does not give [", out.rows, ", ", out.cols, "]"));
  }
  const auto& packed = static_cast<const GemmWeight&>(weight);
  if (packed.has_bias && (accumulate || out.dtype != DType::kBF16)) {
    return absl::InvalidArgumentError("Linear: a bias goes with a bf16 result, not accumulated");
  }
  if (x.rows == 0) return absl::OkStatus();
  return gemm_->Run(out, x, packed, accumulate);
}

absl::Status CudaBackend::Rope(TensorView x, const int32_t* positions, const float* cos_sin,
                               int32_t head_dim) {
  SPARSED_CHECK_BF16("Rope", x);
  if (head_dim % 16 != 0 || x.cols % head_dim != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "Rope: head_dim ", head_dim, " must be a multiple of 16 that divides ", x.cols));
  }
  SPARSED_CUDA_RETURN("Rope", LaunchRope(AsBf16(x), x.stride, positions, cos_sin, x.rows,
                                         x.cols / head_dim, head_dim, stream_));
  return absl::OkStatus();
}

absl::Status CudaBackend::SiluMul(TensorView out, TensorView gate_up) {
  SPARSED_CHECK_BF16("SiluMul", out);
  SPARSED_CHECK_BF16("SiluMul", gate_up);
  SPARSED_CUDA_RETURN("SiluMul", LaunchSiluMul(AsBf16(out), out.stride, AsBf16(gate_up),
                                               gate_up.stride, out.rows, out.cols, stream_));
  return absl::OkStatus();
}

absl::Status CudaBackend::CountBits(const uint64_t* words, int64_t num_words, int64_t* count) {
  SPARSED_CUDA_RETURN("CountBits", LaunchCountBits(words, num_words, count, stream_));
  return absl::OkStatus();
}

absl::Status CudaBackend::GatherRows(TensorView out, TensorView x, const int32_t* rows) {
  SPARSED_CHECK_BF16("GatherRows", out);
  SPARSED_CHECK_BF16("GatherRows", x);
  SPARSED_CUDA_RETURN("GatherRows", LaunchGatherRows(AsBf16(out), out.stride, AsBf16(x), x.stride,
                                                     rows, out.rows, out.cols, stream_));
  return absl::OkStatus();
}

}  // namespace sparsed::kernels::cuda

// The one symbol of libsparsed_cuda.so. Returns 0 and a backend to delete, or 1 and a message.
extern "C" __attribute__((visibility("default"))) int sparsed_create_cuda_backend(
    int ordinal, const sparsed::kernels::CudaVariant& variant, sparsed::kernels::Backend** backend,
    char* message, size_t message_bytes) {
  auto created = sparsed::kernels::cuda::CudaBackend::Create(ordinal, variant);
  if (created.ok()) {
    *backend = created->release();
    return 0;
  }
  const std::string text(created.status().message());
  std::strncpy(message, text.c_str(), message_bytes - 1);
  message[message_bytes - 1] = '\0';
  return 1;
}
