// From an error of the CUDA runtime to a Status. Errors of work on the device come late: each is
// reported as at or before the operation that met it.
#pragma once

#include <cuda_runtime_api.h>

#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace sparsed::kernels::cuda {

inline absl::Status CudaError(const std::string& what, cudaError_t error) {
  const std::string message = absl::StrCat("at or before ", what, ": ", cudaGetErrorString(error));
  return error == cudaErrorMemoryAllocation ? absl::ResourceExhaustedError(message)
                                            : absl::InternalError(message);
}

#define SPARSED_CUDA_RETURN(what, expression)                                \
  do {                                                                       \
    const cudaError_t sparsed_error = (expression);                          \
    if (sparsed_error != cudaSuccess) return CudaError(what, sparsed_error); \
  } while (false)

}  // namespace sparsed::kernels::cuda
