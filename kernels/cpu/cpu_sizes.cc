#include "kernels/cpu/gemm.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/device_sizes.h"

namespace sparsed::kernels {
namespace {

class CpuSizeRules : public DeviceSizes {
 public:
  CpuSizeRules() : pool_(1), gemm_(CreateGemm(pool_)) {
    device = "cpu";
    has_experts = true;
  }

  absl::StatusOr<uint64_t> LinearBytes(int64_t out_features, int64_t in_features) override {
    return gemm_->PackedBytes(out_features, in_features);
  }

 private:
  ThreadPool pool_;
  std::unique_ptr<Gemm> gemm_;
};

}  // namespace

std::unique_ptr<DeviceSizes> CpuSizes() { return std::make_unique<CpuSizeRules>(); }

}  // namespace sparsed::kernels
