#include "engine/models/llada.h"

#include <algorithm>
#include <cmath>

#include "engine/status_macros.h"

namespace sparsed::engine {
namespace {

std::vector<kernels::AttentionSequence> AttentionSequences(const PackedBatch& batch,
                                                           int32_t layer) {
  std::vector<kernels::AttentionSequence> sequences;
  sequences.reserve(batch.passes.size());
  for (const PassPlan& pass : batch.passes) {
    kernels::AttentionSequence sequence;
    sequence.first_row = pass.first_row;
    sequence.num_tokens = pass.num_tokens;
    sequence.mode = pass.mode;
    if (!pass.masks.empty()) sequence.mask = pass.masks[layer];
    sequence.selection = pass.selection;
    sequences.push_back(sequence);
  }
  return sequences;
}

}  // namespace

absl::Status LladaModel::Forward(kernels::Backend& backend, const PackedBatch& batch,
                                 Workspace& workspace) const {
  StepTimes& times = workspace.times;
  Stopwatch watch;
  const kernels::TensorView hidden = workspace.hidden(batch.num_rows);
  SPARSED_RETURN_IF_ERROR(backend.Embed(hidden, embedding_, batch.ids));
  watch.Lap(times.embed_seconds);

  for (int32_t layer = 0; layer < info_.num_layers; ++layer) {
    SPARSED_RETURN_IF_ERROR(AttentionBlock(backend, batch, layer, workspace));
    SPARSED_RETURN_IF_ERROR(FeedForwardBlock(backend, batch.num_rows, layer, workspace));
  }

  if (batch.num_head_rows == 0) return absl::OkStatus();
  watch = Stopwatch();
  const kernels::TensorView head_input = workspace.head_input(batch.num_head_rows);
  SPARSED_RETURN_IF_ERROR(backend.GatherRows(head_input, hidden, batch.head_rows));
  SPARSED_RETURN_IF_ERROR(
      backend.RmsNorm(head_input, head_input, final_norm_.as<float>(), info_.norm_eps));
  watch.Lap(times.head_seconds);
  return absl::OkStatus();
}

// hidden += out(attention(rope(qkv(norm(hidden)))))
absl::Status LladaModel::AttentionBlock(kernels::Backend& backend, const PackedBatch& batch,
                                        int32_t layer, Workspace& workspace) const {
  const LladaLayer& weights = layers_[layer];
  StepTimes& times = workspace.times;
  Stopwatch watch;
  const kernels::TensorView hidden = workspace.hidden(batch.num_rows);
  const kernels::TensorView normed = workspace.normed(batch.num_rows);
  SPARSED_RETURN_IF_ERROR(
      backend.RmsNorm(normed, hidden, weights.attention_norm.as<float>(), info_.norm_eps));
  watch.Lap(times.norm_seconds);

  const kernels::TensorView qkv = workspace.qkv(batch.num_rows);
  SPARSED_RETURN_IF_ERROR(backend.Linear(qkv, normed, *weights.qkv, /*accumulate=*/false));
  watch.Lap(times.linear_seconds);

  const int64_t q_cols = int64_t{info_.num_heads} * info_.head_dim;
  const int64_t kv_cols = int64_t{info_.num_kv_heads} * info_.head_dim;
  SPARSED_RETURN_IF_ERROR(backend.Rope(qkv.Columns(0, q_cols + kv_cols), batch.positions,
                                       cos_sin_.as<float>(), info_.head_dim));
  watch.Lap(times.rope_seconds);

  const std::vector<kernels::AttentionSequence> sequences = AttentionSequences(batch, layer);
  kernels::AttentionParams params;
  params.out = workspace.attended(batch.num_rows);
  params.q = qkv.Columns(0, q_cols);
  params.k = qkv.Columns(q_cols, kv_cols);
  params.v = qkv.Columns(q_cols + kv_cols, kv_cols);
  params.num_heads = info_.num_heads;
  params.num_kv_heads = info_.num_kv_heads;
  params.head_dim = info_.head_dim;
  params.scale = static_cast<float>(1.0 / std::sqrt(info_.head_dim));
  params.sequences = sequences;
  SPARSED_RETURN_IF_ERROR(backend.Attention(params));
  watch.Lap(times.attention_seconds);

  SPARSED_RETURN_IF_ERROR(backend.Linear(hidden, params.out, *weights.out, /*accumulate=*/true));
  watch.Lap(times.linear_seconds);
  return absl::OkStatus();
}

// hidden += down(silu(gate(norm(hidden))) * up(norm(hidden)))
absl::Status LladaModel::FeedForwardBlock(kernels::Backend& backend, int64_t num_rows,
                                          int32_t layer, Workspace& workspace) const {
  const LladaLayer& weights = layers_[layer];
  StepTimes& times = workspace.times;
  Stopwatch watch;
  const kernels::TensorView hidden = workspace.hidden(num_rows);
  const kernels::TensorView normed = workspace.normed(num_rows);
  SPARSED_RETURN_IF_ERROR(
      backend.RmsNorm(normed, hidden, weights.mlp_norm.as<float>(), info_.norm_eps));
  watch.Lap(times.norm_seconds);

  for (int64_t first = 0; first < num_rows; first += Workspace::kMlpChunkRows) {
    const int64_t rows = std::min(num_rows - first, Workspace::kMlpChunkRows);
    const kernels::TensorView gate_up = workspace.gate_up(rows);
    const kernels::TensorView activated = workspace.activated(rows);
    SPARSED_RETURN_IF_ERROR(backend.Linear(gate_up, normed.Rows(first, rows), *weights.gate_up,
                                           /*accumulate=*/false));
    watch.Lap(times.linear_seconds);
    SPARSED_RETURN_IF_ERROR(backend.SiluMul(activated, gate_up));
    watch.Lap(times.activation_seconds);
    SPARSED_RETURN_IF_ERROR(backend.Linear(hidden.Rows(first, rows), activated, *weights.down,
                                           /*accumulate=*/true));
    watch.Lap(times.linear_seconds);
  }
  return absl::OkStatus();
}

absl::Status LladaModel::Logits(kernels::Backend& backend, Workspace& workspace, int64_t first,
                                int64_t rows, kernels::TensorView logits) const {
  Stopwatch watch;
  const kernels::TensorView input = workspace.head_input(first + rows).Rows(first, rows);
  SPARSED_RETURN_IF_ERROR(backend.Linear(logits, input, *head_, /*accumulate=*/false));
  watch.Lap(workspace.times.head_seconds);
  return absl::OkStatus();
}

}  // namespace sparsed::engine
