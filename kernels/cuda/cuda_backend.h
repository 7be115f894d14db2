// The Backend on one NVIDIA GPU. Activations are bf16, products and reductions accumulate in
// float32. Next: launch.h (the kernels), gemm.h (the matrix products)
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/backend.h"
#include "kernels/cuda/gemm.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/mark_events.h"
#include "kernels/cuda/staging.h"
#include "kernels/cuda_library.h"
#include "kernels/cuda_sizes.h"

namespace sparsed::kernels::cuda {

class CudaBackend : public Backend {
 public:
  // Errors: FAILED_PRECONDITION naming what is missing (driver, device, compute capability 8.0,
  // cuBLASLt); RESOURCE_EXHAUSTED.
  static absl::StatusOr<std::unique_ptr<CudaBackend>> Create(int ordinal,
                                                             const CudaVariant& variant);
  ~CudaBackend() override;

  BackendInfo Info() const override;
  absl::StatusOr<Buffer> Alloc(size_t bytes) override;
  absl::Status CopyIn(void* device_dst, const void* host_src, size_t bytes) override;
  absl::Status CopyOut(void* host_dst, const void* device_src, size_t bytes) override;
  absl::Status Sync() override;
  absl::Status Mark(int32_t part) override;
  absl::Status ReadMarks(std::span<double> seconds) override;
  absl::StatusOr<std::unique_ptr<LinearWeight>> PackLinear(std::span<const HostMatrix> parts,
                                                           std::span<const float> bias) override;
  absl::Status Embed(TensorView out, TensorView table, const int32_t* ids) override;
  absl::Status RmsNorm(TensorView out, TensorView x, const float* weight, float eps) override;
  absl::Status Linear(TensorView out, TensorView x, const LinearWeight& weight,
                      bool accumulate) override;
  absl::Status Rope(TensorView x, const int32_t* positions, const float* cos_sin,
                    int32_t head_dim) override;
  absl::Status SiluMul(TensorView out, TensorView gate_up) override;
  absl::Status HeadNorm(TensorView x, const float* weight, float eps, int32_t head_dim) override;
  absl::Status RouteExperts(TensorView logits, int32_t per_row,
                            const ExpertRouting& routing) override;
  absl::Status GroupedLinear(TensorView out, TensorView x,
                             std::span<const std::unique_ptr<LinearWeight>> weights,
                             const int32_t* first_slots) override;
  absl::Status SumExperts(TensorView out, TensorView x, const ExpertRouting& routing,
                          int32_t per_row) override;
  absl::Status Attention(const AttentionParams& params) override;
  absl::Status CountBits(const uint64_t* words, int64_t num_words, int64_t* count) override;
  absl::Status GatherRows(TensorView out, TensorView x, const int32_t* rows) override;
  absl::Status SampleRows(TensorView logits, std::span<const SampleRow> rows,
                          const SampleResults& results) override;
  absl::Status CommitRows(const float* confidences, std::span<const CommitGroup> groups,
                          int32_t* chosen) override;

 private:
  CudaBackend() = default;
  absl::Status PackBias(std::span<const float> bias, GemmWeight& weight);
  absl::Status AttendWhole(const AttentionParams& params,
                           std::span<const AttentionSequence> sequences);
  absl::Status AttendSplit(const AttentionParams& params,
                           std::span<const AttentionSequence> sequences, int64_t most_items);
  absl::Status AttendOnce(const AttentionParams& params,
                          std::span<const AttentionSequence> sequences, Mass mass, bool split);
  absl::Status Launch(const AttentionParams& params, AttentionLaunch& launch, Mass mass);
  int32_t PlanScratch(AttentionLaunch& launch, int32_t head_dim, Mass mass) const;
  absl::Status PlanSteps(AttentionLaunch& launch, int32_t head_dim) const;
  absl::Status EncodeMap(const TensorView& view, uint32_t box_rows, CUtensorMap* map) const;

  int ordinal_ = 0;
  bool hopper_ = false;         // compute capability 9.0: the wgmma kernel runs
  void* encode_map_ = nullptr;  // cuTensorMapEncodeTiled, from the driver
  int multiprocessors_ = 0;
  int64_t cache_bytes_ = 0;  // of the second level
  std::string description_;
  uint64_t memory_total_bytes_ = 0;
  std::shared_ptr<uint64_t> allocated_bytes_ = std::make_shared<uint64_t>(0);
  cudaStream_t stream_ = nullptr;
  std::unique_ptr<Staging> staging_;
  MarkEvents marks_;
  Buffer gemm_workspace_;
  Buffer attention_scratch_;  // of select and of split launches
  Buffer items_begun_;        // by the blocks of an attention launch
  std::unique_ptr<Gemm> gemm_;
};

}  // namespace sparsed::kernels::cuda
