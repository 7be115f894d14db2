// The engine's device memory for one step, allocated once for the largest batch.
#pragma once

#include <array>
#include <cstdint>

#include "absl/status/status.h"
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
  static int64_t BytesFor(const ModelInfo& model, int64_t max_rows,
                          kernels::DType activations = kernels::DType::kF32);

  // Views of the first `rows` rows. E, H, Hkv, D, F as in kernels/tensor_view.h.
  kernels::TensorView hidden(int64_t rows) const;     // [rows, E], the residual stream
  kernels::TensorView normed(int64_t rows) const;     // [rows, E]
  kernels::TensorView qkv(int64_t rows) const;        // [rows, (H + 2 Hkv) D]
  kernels::TensorView attended(int64_t rows) const;   // [rows, H D]
  kernels::TensorView gate_up(int64_t rows) const;    // [rows, 2F], rows <= kMlpChunkRows
  kernels::TensorView activated(int64_t rows) const;  // [rows, F], rows <= kMlpChunkRows
  // For layers with experts; `slots` are rows times experts a row, rows <= kMlpChunkRows.
  kernels::TensorView router_logits(int64_t rows) const;      // [rows, experts] f32
  kernels::TensorView expert_rows(int64_t slots) const;       // [slots, E]
  kernels::TensorView expert_gate_up(int64_t slots) const;    // [slots, 2F] of an expert
  kernels::TensorView expert_activated(int64_t slots) const;  // [slots, F] of an expert
  kernels::ExpertRouting routing() const;                     // of up to kMlpChunkRows rows
  kernels::TensorView head_input(int64_t rows) const;         // [rows, E], rows <= max_rows
  kernels::TensorView logits(int64_t rows) const;             // [rows, V] f32, rows <= kLogitRows

  // The feed-forward layer runs over row chunks and the head over row chunks, so that their widest
  // buffers stay small.
  static constexpr int64_t kMlpChunkRows = 2048;
  static constexpr int64_t kLogitRows = 256;

  // What was issued since the last call is of `part`; nothing where parts are not timed.
  absl::Status EndPart(kernels::Backend& backend, StepPart part) const;

  bool time_parts = false;
  StepTimes times;

 private:
  // One matrix of the workspace.
  struct Block {
    kernels::Buffer memory;
    kernels::DType dtype = kernels::DType::kF32;
    int64_t max_rows = 0;
    int64_t cols = 0;

    int64_t Bytes() const;
    kernels::TensorView View(int64_t rows) const;
  };
  struct Blocks {
    Block hidden, normed, qkv, attended, gate_up, activated, head_input, logits;
    Block router_logits, expert_rows, expert_gate_up, expert_activated;
    Block routing;  // one number a row: the parts of ExpertRouting, one after the other

    std::array<Block*, 13> All();
  };
  // The matrices without their memory.
  static Blocks Plan(const ModelInfo& model, int64_t max_rows, kernels::DType activations);

  Blocks blocks_;
  int64_t max_slots_ = 0;
};

}  // namespace sparsed::engine
