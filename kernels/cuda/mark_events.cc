#include "kernels/cuda/mark_events.h"

#include <utility>

#include "kernels/cuda/cuda_status.h"

namespace sparsed::kernels::cuda {

MarkEvents::~MarkEvents() {
  for (const cudaEvent_t event : events_) cudaEventDestroy(event);
}

absl::Status MarkEvents::Mark(int32_t part, cudaStream_t stream) {
  if (parts_.size() == events_.size()) {
    cudaEvent_t event = nullptr;
    SPARSED_CUDA_RETURN("cudaEventCreate", cudaEventCreate(&event));
    events_.push_back(event);
  }
  SPARSED_CUDA_RETURN("cudaEventRecord", cudaEventRecord(events_[parts_.size()], stream));
  parts_.push_back(part);
  return absl::OkStatus();
}

absl::Status MarkEvents::Read(std::span<double> seconds) {
  const std::vector<int32_t> parts = std::move(parts_);
  parts_.clear();
  if (parts.empty()) return absl::OkStatus();
  SPARSED_CUDA_RETURN("cudaEventSynchronize", cudaEventSynchronize(events_[parts.size() - 1]));
  for (size_t i = 1; i < parts.size(); ++i) {
    if (parts[i] < 0 || static_cast<size_t>(parts[i]) >= seconds.size()) continue;
    float milliseconds = 0;
    SPARSED_CUDA_RETURN("cudaEventElapsedTime",
                        cudaEventElapsedTime(&milliseconds, events_[i - 1], events_[i]));
    seconds[static_cast<size_t>(parts[i])] += 1e-3 * static_cast<double>(milliseconds);
  }
  return absl::OkStatus();
}

}  // namespace sparsed::kernels::cuda
