// What the kinds of devices take in memory, known without having one.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "kernels/backend.h"

namespace sparsed::kernels {

// Why a GPU refuses WeightType::kInt8.
inline constexpr char kNoInt8Weights[] = "int8 weights: only the device cpu has them";

class DeviceSizes {
 public:
  virtual ~DeviceSizes() = default;
  // Of PackLinear's result; keep_full: as HostMatrix's. Errors: as PackLinear's.
  virtual absl::StatusOr<uint64_t> LinearBytes(int64_t out_features, int64_t in_features,
                                               bool keep_full) = 0;

  std::string device;   // "cpu" or "cuda"
  std::string weights;  // as BackendInfo's
  DType activation_dtype = DType::kF32;
  int32_t row_alignment = 1;
  bool has_experts = false;         // as BackendInfo's
  uint64_t bias_element_bytes = 0;  // beside LinearBytes
  uint64_t backend_bytes = 0;       // that the backend takes for itself
};

std::unique_ptr<DeviceSizes> CpuSizes(WeightType weights);
std::unique_ptr<DeviceSizes> CudaSizes();

}  // namespace sparsed::kernels
