// Backend::Mark and ReadMarks by events on the stream.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"

namespace sparsed::kernels::cuda {

class MarkEvents {
 public:
  MarkEvents() = default;
  ~MarkEvents();
  MarkEvents(const MarkEvents&) = delete;
  MarkEvents& operator=(const MarkEvents&) = delete;

  absl::Status Mark(int32_t part, cudaStream_t stream);
  absl::Status Read(std::span<double> seconds);

 private:
  std::vector<cudaEvent_t> events_;  // used again after each Read
  std::vector<int32_t> parts_;       // of the events since the last Read
};

}  // namespace sparsed::kernels::cuda
