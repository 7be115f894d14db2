// A backend without arithmetic, for tests of what is built on one: memory is real, operations are
// trivial and deterministic, any call can be made to fail, any step to take its time.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/backend.h"
#include "kernels/mark_clock.h"

namespace sparsed::testing {

struct FakeBackendOptions {
  std::string device = "fake";
  int32_t mask_token_id = 5;  // sampled for mask_seeds only
  int32_t row_alignment = 1;
  bool has_experts = true;
  uint64_t memory_bytes = uint64_t{1} << 40;  // Alloc refuses beyond
  std::set<uint64_t> nan_seeds;               // requests with these seeds get NaN confidences
  std::set<uint64_t> mask_seeds;              // these sample the mask token about every other time
  std::chrono::milliseconds step_delay{0};    // slept once in every forward pass
  std::function<void()> on_step;              // called once in every forward pass; may block
  std::function<void(int64_t)> on_rows;       // the same, with its packed rows
};

// Sampled tokens and confidences depend on (seed, step, position) only. A selection keeps every
// block of even index and the last; all blocks but the last are equally important. Thread-safe are
// FailCall and calls.
class FakeBackend : public kernels::Backend {
 public:
  explicit FakeBackend(FakeBackendOptions options = {});
  ~FakeBackend() override;

  // The token that a position gets in a step.
  static int32_t TokenFor(uint64_t seed, uint32_t step, uint32_t position, int32_t vocab_size,
                          int32_t mask_token_id);

  // From now on the n-th call that can fail does (0: the next one), once. Alloc fails with
  // RESOURCE_EXHAUSTED, the others with INTERNAL. Negative: none.
  void FailCall(int64_t n) { calls_until_failure_ = n; }
  int64_t calls() const { return calls_; }  // that can fail, so far
  int64_t info_calls() const { return info_calls_; }
  // Of one operation; not thread-safe.
  int64_t calls_of(const std::string& operation) const {
    const auto found = calls_of_.find(operation);
    return found == calls_of_.end() ? 0 : found->second;
  }

  kernels::BackendInfo Info() const override;
  absl::StatusOr<kernels::Buffer> Alloc(size_t bytes) override;
  absl::Status CopyIn(void* device_dst, const void* host_src, size_t bytes) override;
  absl::Status CopyOut(void* host_dst, const void* device_src, size_t bytes) override;
  absl::Status Sync() override;
  absl::Status Mark(int32_t part) override;
  absl::Status ReadMarks(std::span<double> seconds) override;
  absl::StatusOr<std::unique_ptr<kernels::LinearWeight>> PackLinear(
      std::span<const kernels::HostMatrix> parts, std::span<const float> bias) override;
  absl::Status Embed(kernels::TensorView out, kernels::TensorView table,
                     const int32_t* ids) override;
  absl::Status RmsNorm(kernels::TensorView out, kernels::TensorView x, const float* weight,
                       float eps) override;
  absl::Status Linear(kernels::TensorView out, kernels::TensorView x,
                      const kernels::LinearWeight& weight, bool accumulate) override;
  absl::Status Rope(kernels::TensorView x, const int32_t* positions, const float* cos_sin,
                    int32_t head_dim) override;
  absl::Status SiluMul(kernels::TensorView out, kernels::TensorView gate_up) override;
  absl::Status HeadNorm(kernels::TensorView x, const float* weight, float eps,
                        int32_t head_dim) override;
  absl::Status RouteExperts(kernels::TensorView logits, int32_t per_row,
                            const kernels::ExpertRouting& routing) override;
  absl::Status GroupedLinear(kernels::TensorView out, kernels::TensorView x,
                             std::span<const std::unique_ptr<kernels::LinearWeight>> weights,
                             const int32_t* first_slots) override;
  absl::Status SumExperts(kernels::TensorView out, kernels::TensorView x,
                          const kernels::ExpertRouting& routing, int32_t per_row) override;
  absl::Status Attention(const kernels::AttentionParams& params) override;
  absl::Status CountBits(const uint64_t* words, int64_t num_words, int64_t* count) override;
  absl::Status GatherRows(kernels::TensorView out, kernels::TensorView x,
                          const int32_t* rows) override;
  absl::Status SampleRows(kernels::TensorView logits, std::span<const kernels::SampleRow> rows,
                          const kernels::SampleResults& results) override;
  absl::Status CommitRows(const float* confidences, std::span<const kernels::CommitGroup> groups,
                          int32_t* chosen) override;

 private:
  // Counts a call; an error where it is the one to fail.
  absl::Status Call(const char* operation);

  const FakeBackendOptions options_;
  kernels::MarkClock clock_;
  std::atomic<int64_t> calls_{0};
  mutable std::atomic<int64_t> info_calls_{0};
  std::map<std::string, int64_t> calls_of_;
  std::atomic<int64_t> calls_until_failure_{-1};
  std::atomic<uint64_t> allocated_bytes_{0};
};

}  // namespace sparsed::testing
