// A backend that passes everything on to another one and notes what the goldens are compared with.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "kernels/backend.h"
#include "tests/testing/forwarding_backend.h"

namespace sparsed::testing {

// The importances of one layer, as a selection computed them.
struct LayerImportance {
  std::vector<float> all;     // [H, n, n]
  std::vector<float> canvas;  // [H, n, n - first_canvas_block]
};

struct Recording {
  // Of the step's samples in order; cleared by the reader.
  std::vector<kernels::SampleRow> samples;
  std::vector<int32_t> tokens;
  std::vector<float> confidences;
  std::vector<std::vector<float>> logits;  // only if keep_logits
  std::vector<int32_t> chosen;             // sample indices, most confident first
  // Of the last selection, layer by layer: one sequence, one pass.
  std::vector<LayerImportance> importances;
  bool keep_logits = false;
  // Results of all operations but a product with so many columns (the logits) are rounded to bf16,
  // as a plain implementation in bf16 rounds them. 0: nothing is. The CPU backend only.
  int64_t round_all_but_cols = 0;
  // The backend that fills this; for tests that write to its memory.
  kernels::Backend* backend = nullptr;

  void Clear();
};

class RecordingBackend : public ForwardingBackend {
 public:
  RecordingBackend(std::unique_ptr<kernels::Backend> backend, Recording* recording)
      : ForwardingBackend(std::move(backend)), recording_(recording) {
    recording->backend = this;
  }

  absl::Status Embed(kernels::TensorView out, kernels::TensorView table,
                     const int32_t* ids) override {
    return Rounded(out, inner().Embed(out, table, ids));
  }
  absl::Status RmsNorm(kernels::TensorView out, kernels::TensorView x, const float* weight,
                       float eps) override {
    return Rounded(out, inner().RmsNorm(out, x, weight, eps));
  }
  absl::Status Linear(kernels::TensorView out, kernels::TensorView x,
                      const kernels::LinearWeight& weight, bool accumulate) override {
    return Rounded(out, inner().Linear(out, x, weight, accumulate));
  }
  absl::Status Rope(kernels::TensorView x, const int32_t* positions, const float* cos_sin,
                    int32_t head_dim) override {
    return Rounded(x, inner().Rope(x, positions, cos_sin, head_dim));
  }
  absl::Status SiluMul(kernels::TensorView out, kernels::TensorView gate_up) override {
    return Rounded(out, inner().SiluMul(out, gate_up));
  }
  absl::Status HeadNorm(kernels::TensorView x, const float* weight, float eps,
                        int32_t head_dim) override {
    return Rounded(x, inner().HeadNorm(x, weight, eps, head_dim));
  }
  absl::Status GroupedLinear(kernels::TensorView out, kernels::TensorView x,
                             std::span<const std::unique_ptr<kernels::LinearWeight>> weights,
                             const int32_t* first_slots) override {
    return Rounded(out, inner().GroupedLinear(out, x, weights, first_slots));
  }
  absl::Status SumExperts(kernels::TensorView out, kernels::TensorView x,
                          const kernels::ExpertRouting& routing, int32_t per_row) override {
    return Rounded(out, inner().SumExperts(out, x, routing, per_row));
  }
  absl::Status Attention(const kernels::AttentionParams& params) override;
  absl::Status SampleRows(kernels::TensorView logits, std::span<const kernels::SampleRow> rows,
                          const kernels::SampleResults& results) override;
  absl::Status CommitRows(const float* confidences, std::span<const kernels::CommitGroup> groups,
                          int32_t* chosen) override;

 private:
  // `status`, after rounding the result.
  absl::Status Rounded(const kernels::TensorView& out, absl::Status status) const;
  // Fills `importances` from what a selection left in `memory`.
  absl::Status ReadImportances(const kernels::Buffer& memory, LayerImportance& importance);

  Recording* recording_;
};

}  // namespace sparsed::testing
