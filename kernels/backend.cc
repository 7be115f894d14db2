#include "kernels/backend.h"

#include "absl/strings/str_cat.h"
#include "kernels/cpu/cpu_backend.h"

namespace sparsed::kernels {

absl::StatusOr<std::unique_ptr<Backend>> CreateBackend(const BackendOptions& options) {
  constexpr int kMaxThreads = 1024;
  if (options.threads < 0 || options.threads > kMaxThreads) {
    return absl::InvalidArgumentError(
        absl::StrCat("threads must be in [0, ", kMaxThreads, "], is ", options.threads));
  }
  if (options.device == "auto" || options.device == "cpu") {
    return std::unique_ptr<Backend>(
        std::make_unique<CpuBackend>(CpuOptions{.threads = options.threads, .isa = {}}));
  }
  if (options.device == "cuda" || options.device.rfind("cuda:", 0) == 0) {
    return absl::FailedPreconditionError("device cuda: this build has no CUDA backend");
  }
  return absl::InvalidArgumentError(
      absl::StrCat("unknown device '", options.device, "': use auto or cpu"));
}

}  // namespace sparsed::kernels
