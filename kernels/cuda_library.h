// Opens libsparsed_cuda.so, so that nothing else of sparsed depends on CUDA.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "kernels/backend.h"

namespace sparsed::kernels {

// What tests compare the backend with; no result may differ.
struct CudaVariant {
  // The kernels of compute capability 8.0 on newer devices as well.
  bool portable = false;
  // Products by each shape's reference algorithm alone, none of the others is tried: slower for
  // few rows.
  bool reference_products = false;
};

// The backend of CUDA device `ordinal`. Errors: FAILED_PRECONDITION saying what is missing: the
// library, cuBLASLt, the driver or the device.
absl::StatusOr<std::unique_ptr<Backend>> OpenCudaBackend(int ordinal,
                                                         const CudaVariant& variant = {});

}  // namespace sparsed::kernels
