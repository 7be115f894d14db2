#include "kernels/backend.h"

#include <charconv>

#include "absl/strings/str_cat.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cuda_library.h"
#include "kernels/device_sizes.h"

namespace sparsed::kernels {
namespace {

std::unique_ptr<Backend> MakeCpuBackend(const BackendOptions& options) {
  return std::make_unique<CpuBackend>(
      CpuOptions{.threads = options.threads, .isa = {}, .weights = options.weights});
}

// The number of "cuda" (0) or "cuda:N"; -1 for anything else.
int CudaOrdinal(const std::string& device) {
  if (device == "cuda") return 0;
  const std::string prefix = "cuda:";
  if (device.rfind(prefix, 0) != 0) return -1;
  int ordinal = -1;
  const char* end = device.data() + device.size();
  const auto parsed = std::from_chars(device.data() + prefix.size(), end, ordinal);
  return parsed.ec == std::errc() && parsed.ptr == end ? ordinal : -1;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Backend>> CreateBackend(const BackendOptions& options,
                                                       std::string* why) {
  constexpr int kMaxThreads = 1024;
  if (options.threads < 0 || options.threads > kMaxThreads) {
    return absl::InvalidArgumentError(
        absl::StrCat("threads must be in [0, ", kMaxThreads, "], is ", options.threads));
  }
  if (options.device == "cpu") return MakeCpuBackend(options);
  const auto open_cuda = [&](int ordinal) -> absl::StatusOr<std::unique_ptr<Backend>> {
    if (options.weights == WeightType::kInt8) return absl::InvalidArgumentError(kNoInt8Weights);
    return OpenCudaBackend(ordinal);
  };
  if (options.device == "auto") {
    absl::StatusOr<std::unique_ptr<Backend>> cuda = open_cuda(0);
    if (cuda.ok()) return cuda;
    if (why != nullptr) *why = std::string(cuda.status().message());
    return MakeCpuBackend(options);
  }
  const int ordinal = CudaOrdinal(options.device);
  if (ordinal >= 0) return open_cuda(ordinal);
  return absl::InvalidArgumentError(
      absl::StrCat("unknown device '", options.device, "': use auto, cpu, cuda or cuda:N"));
}

}  // namespace sparsed::kernels
