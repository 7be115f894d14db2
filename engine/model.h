// What a model family is to the engine: packed token ids in, hidden states out.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "absl/status/status.h"
#include "engine/model_info.h"
#include "engine/workspace.h"
#include "kernels/backend.h"

namespace sparsed::engine {

// What a pass that is looked into does in each layer before its own attention, which is not touched
// by it: it selects a pattern from its queries and all its keys.
struct ProbePlan {
  kernels::BlockSelection selection;  // importances left out
  // num_layers each; empty: nothing is looked into. Layers without bits are left out.
  std::span<const kernels::BlockMaskView> masks;
  std::span<float* const> importances;  // [H, nQ, nKV] of each
  // [H, nQ, nKV - first_canvas_block] of each; empty: they are not wanted.
  std::span<float* const> canvas_importances;
  const int32_t* head_counts = nullptr;  // as of the pass
  // num_layers, rows left out; empty: all queries.
  std::span<const kernels::QueryRange> queries;
};

// One pass of one sequence in the packed batch. The attention of layer l uses masks[l] (where the
// mode is not kFull); the other fields are the same for every layer.
struct PassPlan {
  int64_t first_row = 0;
  int64_t num_tokens = 0;
  kernels::AttentionMode mode = kernels::AttentionMode::kFull;
  kernels::BlockSelection selection;  // kFullSelect only
  // kFullSelect only: [num_layers, H, 2] on the device, the counts of each head; null: those of the
  // selection.
  const int32_t* head_counts = nullptr;
  std::span<const kernels::BlockMaskView> masks;  // num_layers views; empty for kFull
  ProbePlan inspection;
  ProbePlan recall;
  ProbePlan budgets;
  // Its part of PackedBatch::ranges: the tokens that ask in the last layer.
  int32_t first_range = 0;
  int32_t num_ranges = 0;
};

// The packed rows of one step. Pointers are to the device.
//
// Only the head rows of the last layer's output are wanted. Its keys and values are computed for
// all rows, its queries and attention for the tiles that hold head rows ("query rows", where they
// stand together), the rest for the head rows. A pass that selects, or is looked into, attends with
// all its rows, since any query block may need a pattern: in a step with such a pass the query rows
// are the packed rows. Where the backend splits keys, the tiles that hold head rows are split in
// steps of every kind, which so have the same bits; a pass that selects attends to them once more.
struct PackedBatch {
  int64_t num_rows = 0;  // T
  const int32_t* ids = nullptr;
  const int32_t* positions = nullptr;  // 0..N-1 within each pass
  std::span<const PassPlan> passes;
  const int32_t* head_rows = nullptr;  // the packed rows whose logits are wanted
  int64_t num_head_rows = 0;           // R

  std::span<const kernels::QueryRange> ranges;  // of all passes; host memory
  bool splits_keys = false;                     // of the backend
  int64_t num_query_rows = 0;                   // 0 where the last layer attends to nothing
  const int32_t* query_rows = nullptr;          // the packed row of each query row; null: the same
  const int32_t* query_positions = nullptr;     // of each query row; null: `positions`
  const int32_t* head_query_rows = nullptr;     // the query row of each head row
};

class Model {
 public:
  virtual ~Model() = default;
  virtual const ModelInfo& info() const = 0;

  // Runs all layers and leaves in workspace.head_input() [R, E] the final normalised hidden states
  // of batch.head_rows. Adds its times to workspace.times. Errors: as the backend's.
  virtual absl::Status Forward(kernels::Backend& backend, const PackedBatch& batch,
                               Workspace& workspace) const = 0;
  // logits [rows, V] f32 of rows [first, first + rows) of workspace.head_input().
  virtual absl::Status Logits(kernels::Backend& backend, Workspace& workspace, int64_t first,
                              int64_t rows, kernels::TensorView logits) const = 0;
};

}  // namespace sparsed::engine
