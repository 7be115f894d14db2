// The CPU backend: float32 compute, one fixed thread pool. It defines the right answer.
// Next: attention.h, gemm.h, vector_ops.h.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/backend.h"
#include "kernels/cpu/attention.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/mark_clock.h"

namespace sparsed::kernels {

struct CpuOptions {
  int threads = 0;         // 0: every core this process may use
  std::optional<Isa> isa;  // for tests: an instruction set other than the widest
  WeightType weights = WeightType::kFull;
};

// Threads: see Backend; Info may be called by any thread at any time.
class CpuBackend : public Backend {
 public:
  explicit CpuBackend(const CpuOptions& options);

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
  ThreadPool pool_;
  const VectorOps& ops_;
  std::unique_ptr<Gemm> gemm_;
  std::unique_ptr<Gemm> int8_gemm_;  // null with full weights
  AttentionRunner attention_;
  MarkClock clock_;
  std::string description_;
  std::atomic<uint64_t> allocated_bytes_{0};
};

}  // namespace sparsed::kernels
