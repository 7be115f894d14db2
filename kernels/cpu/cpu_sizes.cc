#include "kernels/cpu/gemm.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/device_sizes.h"

namespace sparsed::kernels {
namespace {

class CpuSizeRules : public DeviceSizes {
 public:
  explicit CpuSizeRules(WeightType type)
      : pool_(1),
        gemm_(CreateGemm(pool_)),
        int8_gemm_(type == WeightType::kInt8
                       ? CreateInt8Gemm(pool_, VectorOpsFor(SupportedIsas().back()))
                       : nullptr) {
    device = "cpu";
    weights = type == WeightType::kInt8 ? "int8" : "f32";
    has_experts = true;
  }

  absl::StatusOr<uint64_t> LinearBytes(int64_t out_features, int64_t in_features,
                                       bool keep_full) override {
    Gemm& gemm = int8_gemm_ != nullptr && !keep_full ? *int8_gemm_ : *gemm_;
    return gemm.PackedBytes(out_features, in_features);
  }

 private:
  ThreadPool pool_;
  std::unique_ptr<Gemm> gemm_;
  std::unique_ptr<Gemm> int8_gemm_;  // null with full weights
};

}  // namespace

std::unique_ptr<DeviceSizes> CpuSizes(WeightType weights) {
  return std::make_unique<CpuSizeRules>(weights);
}

}  // namespace sparsed::kernels
