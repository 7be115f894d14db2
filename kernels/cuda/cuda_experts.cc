// CudaBackend: layers with experts. BackendInfo::has_experts says that there are none.
#include "kernels/cuda/cuda_backend.h"

namespace sparsed::kernels::cuda {
namespace {

absl::Status NoExperts() {
  return absl::FailedPreconditionError("layers with experts run on the cpu backend only");
}

}  // namespace

absl::Status CudaBackend::HeadNorm(TensorView, const float*, float, int32_t) { return NoExperts(); }

absl::Status CudaBackend::RouteExperts(TensorView, int32_t, const ExpertRouting&) {
  return NoExperts();
}

absl::Status CudaBackend::GroupedLinear(TensorView, TensorView,
                                        std::span<const std::unique_ptr<LinearWeight>>,
                                        const int32_t*) {
  return NoExperts();
}

absl::Status CudaBackend::SumExperts(TensorView, TensorView, const ExpertRouting&, int32_t) {
  return NoExperts();
}

}  // namespace sparsed::kernels::cuda
