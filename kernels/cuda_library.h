// Opens libsparsed_cuda.so, so that nothing else of sparsed depends on CUDA.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "kernels/backend.h"

namespace sparsed::kernels {

// The backend of CUDA device `ordinal`. `portable`: use the kernels of compute capability 8.0 on
// newer devices as well, as a second implementation to test against. Errors: FAILED_PRECONDITION
// saying what is missing: the library, cuBLASLt, the driver or the device.
absl::StatusOr<std::unique_ptr<Backend>> OpenCudaBackend(int ordinal, bool portable = false);

}  // namespace sparsed::kernels
