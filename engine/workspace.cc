#include "engine/workspace.h"

#include <algorithm>
#include <utility>

#include "engine/status_macros.h"
#include "kernels/check.h"

namespace sparsed::engine {

int64_t Workspace::Block::Bytes() const {
  return max_rows * cols * static_cast<int64_t>(kernels::DTypeBytes(dtype));
}

kernels::TensorView Workspace::Block::View(int64_t rows) const {
  SPARSED_CHECK(rows <= max_rows, "more rows than the workspace was made for");
  return {memory.data(), dtype, rows, cols, cols};
}

Workspace::Blocks Workspace::Plan(const ModelInfo& model, int64_t max_rows,
                                  kernels::DType activations) {
  const int64_t heads = model.num_heads + 2 * int64_t{model.num_kv_heads};
  const int64_t mlp_rows = std::min(max_rows, kMlpChunkRows);
  Blocks blocks;
  blocks.hidden = {{}, activations, max_rows, model.hidden_size};
  blocks.normed = {{}, activations, max_rows, model.hidden_size};
  blocks.qkv = {{}, activations, max_rows, heads * model.head_dim};
  blocks.attended = {{}, activations, max_rows, int64_t{model.num_heads} * model.head_dim};
  blocks.gate_up = {{}, activations, mlp_rows, 2 * int64_t{model.ffn_size}};
  blocks.activated = {{}, activations, mlp_rows, model.ffn_size};
  blocks.head_input = {{}, activations, max_rows, model.hidden_size};
  blocks.logits = {{}, kernels::DType::kF32, kLogitRows, model.vocab_size};

  const ExpertInfo& experts = model.experts;
  if (experts.count == 0) return blocks;
  const int64_t slots = mlp_rows * experts.per_row;
  blocks.router_logits = {{}, kernels::DType::kF32, mlp_rows, experts.count};
  blocks.expert_rows = {{}, activations, slots, model.hidden_size};
  blocks.expert_gate_up = {{}, activations, slots, 2 * int64_t{experts.ffn_size}};
  blocks.expert_activated = {{}, activations, slots, experts.ffn_size};
  blocks.routing = {{}, kernels::DType::kI32, 3 * slots + experts.count + 1, 1};
  return blocks;
}

std::array<Workspace::Block*, 13> Workspace::Blocks::All() {
  return {&hidden,         &normed,           &qkv,    &attended,      &gate_up,
          &activated,      &head_input,       &logits, &router_logits, &expert_rows,
          &expert_gate_up, &expert_activated, &routing};
}

int64_t Workspace::BytesFor(const ModelInfo& model, int64_t max_rows, kernels::DType activations) {
  Blocks blocks = Plan(model, max_rows, activations);
  int64_t bytes = 0;
  for (const Block* block : blocks.All()) bytes += block->Bytes();
  return bytes;
}

absl::StatusOr<Workspace> Workspace::Create(kernels::Backend& backend, const ModelInfo& model,
                                            int64_t max_rows) {
  Workspace workspace;
  workspace.blocks_ = Plan(model, max_rows, backend.Info().activation_dtype);
  workspace.max_slots_ = workspace.blocks_.expert_rows.max_rows;
  for (Block* block : workspace.blocks_.All()) {
    if (block->Bytes() == 0) continue;
    SPARSED_ASSIGN_OR_RETURN(block->memory, backend.Alloc(block->Bytes()));
  }
  return workspace;
}

absl::Status Workspace::EndPart(kernels::Backend& backend, StepPart part) const {
  return time_parts ? backend.Mark(static_cast<int32_t>(part)) : absl::OkStatus();
}

kernels::TensorView Workspace::hidden(int64_t rows) const { return blocks_.hidden.View(rows); }
kernels::TensorView Workspace::normed(int64_t rows) const { return blocks_.normed.View(rows); }
kernels::TensorView Workspace::qkv(int64_t rows) const { return blocks_.qkv.View(rows); }
kernels::TensorView Workspace::attended(int64_t rows) const { return blocks_.attended.View(rows); }
kernels::TensorView Workspace::gate_up(int64_t rows) const { return blocks_.gate_up.View(rows); }
kernels::TensorView Workspace::activated(int64_t rows) const {
  return blocks_.activated.View(rows);
}
kernels::TensorView Workspace::router_logits(int64_t rows) const {
  return blocks_.router_logits.View(rows);
}
kernels::TensorView Workspace::expert_rows(int64_t slots) const {
  return blocks_.expert_rows.View(slots);
}
kernels::TensorView Workspace::expert_gate_up(int64_t slots) const {
  return blocks_.expert_gate_up.View(slots);
}
kernels::TensorView Workspace::expert_activated(int64_t slots) const {
  return blocks_.expert_activated.View(slots);
}
kernels::ExpertRouting Workspace::routing() const {
  auto* rows = blocks_.routing.memory.as<int32_t>();
  kernels::ExpertRouting routing;
  routing.rows = rows;
  routing.slots = rows + max_slots_;
  routing.weights = reinterpret_cast<float*>(rows + 2 * max_slots_);
  routing.first_slots = rows + 3 * max_slots_;
  return routing;
}
kernels::TensorView Workspace::head_input(int64_t rows) const {
  return blocks_.head_input.View(rows);
}
kernels::TensorView Workspace::logits(int64_t rows) const { return blocks_.logits.View(rows); }

}  // namespace sparsed::engine
