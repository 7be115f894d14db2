// The engine's device memory for one step, allocated once for the largest batch.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "engine/model_info.h"
#include "engine/step_times.h"
#include "kernels/backend.h"

namespace sparsed::engine {

class Workspace {
 public:
  // Errors: RESOURCE_EXHAUSTED.
  static absl::StatusOr<Workspace> Create(kernels::Backend& backend, const ModelInfo& model,
                                          int64_t max_rows);
  static int64_t BytesFor(const ModelInfo& model, int64_t max_rows);

  // Views of the first `rows` rows. E, H, Hkv, D, F as in kernels/tensor_view.h.
  kernels::TensorView hidden(int64_t rows) const;      // [rows, E], the residual stream
  kernels::TensorView normed(int64_t rows) const;      // [rows, E]
  kernels::TensorView qkv(int64_t rows) const;         // [rows, (H + 2 Hkv) D]
  kernels::TensorView attended(int64_t rows) const;    // [rows, H D]
  kernels::TensorView gate_up(int64_t rows) const;     // [rows, 2F], rows <= kMlpChunkRows
  kernels::TensorView activated(int64_t rows) const;   // [rows, F], rows <= kMlpChunkRows
  kernels::TensorView head_input(int64_t rows) const;  // [rows, E], rows <= max_rows
  kernels::TensorView logits(int64_t rows) const;      // [rows, V] f32, rows <= kLogitRows

  // The feed-forward layer runs over row chunks and the head over row chunks, so that their widest
  // buffers stay small.
  static constexpr int64_t kMlpChunkRows = 2048;
  static constexpr int64_t kLogitRows = 256;

  StepTimes times;
};

}  // namespace sparsed::engine
