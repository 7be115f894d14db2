// A backend that passes every call on to another one: what decorators in tests derive from.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <utility>

#include "kernels/backend.h"

namespace sparsed::testing {

class ForwardingBackend : public kernels::Backend {
 public:
  explicit ForwardingBackend(std::unique_ptr<kernels::Backend> inner) : inner_(std::move(inner)) {}

  kernels::BackendInfo Info() const override { return inner_->Info(); }
  absl::StatusOr<kernels::Buffer> Alloc(size_t bytes) override { return inner_->Alloc(bytes); }
  absl::Status CopyIn(void* device_dst, const void* host_src, size_t bytes) override {
    return inner_->CopyIn(device_dst, host_src, bytes);
  }
  absl::Status CopyOut(void* host_dst, const void* device_src, size_t bytes) override {
    return inner_->CopyOut(host_dst, device_src, bytes);
  }
  absl::Status Sync() override { return inner_->Sync(); }
  absl::Status Mark(int32_t part) override { return inner_->Mark(part); }
  absl::Status ReadMarks(std::span<double> seconds) override { return inner_->ReadMarks(seconds); }
  absl::StatusOr<std::unique_ptr<kernels::LinearWeight>> PackLinear(
      std::span<const kernels::HostMatrix> parts, std::span<const float> bias) override {
    return inner_->PackLinear(parts, bias);
  }
  absl::Status Embed(kernels::TensorView out, kernels::TensorView table,
                     const int32_t* ids) override {
    return inner_->Embed(out, table, ids);
  }
  absl::Status RmsNorm(kernels::TensorView out, kernels::TensorView x, const float* weight,
                       float eps) override {
    return inner_->RmsNorm(out, x, weight, eps);
  }
  absl::Status Linear(kernels::TensorView out, kernels::TensorView x,
                      const kernels::LinearWeight& weight, bool accumulate) override {
    return inner_->Linear(out, x, weight, accumulate);
  }
  absl::Status Rope(kernels::TensorView x, const int32_t* positions, const float* cos_sin,
                    int32_t head_dim) override {
    return inner_->Rope(x, positions, cos_sin, head_dim);
  }
  absl::Status SiluMul(kernels::TensorView out, kernels::TensorView gate_up) override {
    return inner_->SiluMul(out, gate_up);
  }
  absl::Status HeadNorm(kernels::TensorView x, const float* weight, float eps,
                        int32_t head_dim) override {
    return inner_->HeadNorm(x, weight, eps, head_dim);
  }
  absl::Status RouteExperts(kernels::TensorView logits, int32_t per_row,
                            const kernels::ExpertRouting& routing) override {
    return inner_->RouteExperts(logits, per_row, routing);
  }
  absl::Status GroupedLinear(kernels::TensorView out, kernels::TensorView x,
                             std::span<const std::unique_ptr<kernels::LinearWeight>> weights,
                             const int32_t* first_slots) override {
    return inner_->GroupedLinear(out, x, weights, first_slots);
  }
  absl::Status SumExperts(kernels::TensorView out, kernels::TensorView x,
                          const kernels::ExpertRouting& routing, int32_t per_row) override {
    return inner_->SumExperts(out, x, routing, per_row);
  }
  absl::Status Attention(const kernels::AttentionParams& params) override {
    return inner_->Attention(params);
  }
  absl::Status CountBits(const uint64_t* words, int64_t num_words, int64_t* count) override {
    return inner_->CountBits(words, num_words, count);
  }
  absl::Status GatherRows(kernels::TensorView out, kernels::TensorView x,
                          const int32_t* rows) override {
    return inner_->GatherRows(out, x, rows);
  }
  absl::Status SampleRows(kernels::TensorView logits, std::span<const kernels::SampleRow> rows,
                          const kernels::SampleResults& results) override {
    return inner_->SampleRows(logits, rows, results);
  }
  absl::Status CommitRows(const float* confidences, std::span<const kernels::CommitGroup> groups,
                          int32_t* chosen) override {
    return inner_->CommitRows(confidences, groups, chosen);
  }

 protected:
  kernels::Backend& inner() { return *inner_; }

 private:
  std::unique_ptr<kernels::Backend> inner_;
};

}  // namespace sparsed::testing
