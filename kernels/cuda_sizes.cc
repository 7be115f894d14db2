#include "kernels/cuda_sizes.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kernels/device_sizes.h"

namespace sparsed::kernels {
namespace {

class CudaSizeRules : public DeviceSizes {
 public:
  CudaSizeRules() {
    device = "cuda";
    weights = "bf16";
    activation_dtype = DType::kBF16;
    bias_element_bytes = sizeof(uint16_t);
    row_alignment = cuda::kRowAlignment;
    has_experts = true;
    backend_bytes = cuda::kGemmWorkspaceBytes + cuda::kAttentionScratchBytes;
  }

  absl::StatusOr<uint64_t> LinearBytes(int64_t out_features, int64_t in_features, bool) override {
    if (in_features % cuda::kColumnMultiple != 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("PackLinear: ", in_features,
                       " columns; all parts need the same multiple of ", cuda::kColumnMultiple));
    }
    return cuda::PackedBytes(out_features, in_features);
  }
};

}  // namespace

std::unique_ptr<DeviceSizes> CudaSizes() { return std::make_unique<CudaSizeRules>(); }

}  // namespace sparsed::kernels
