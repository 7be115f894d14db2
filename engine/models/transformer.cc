#include "engine/models/transformer.h"

#include <algorithm>
#include <cmath>

#include "engine/status_macros.h"

namespace sparsed::engine {
namespace {

// Of one layer of [num_layers, H, 2].
const int32_t* CountsOf(const int32_t* head_counts, const kernels::BlockMaskView& mask,
                        int32_t layer) {
  return head_counts == nullptr ? nullptr : head_counts + int64_t{2} * mask.num_heads * layer;
}

kernels::AttentionSequence SequenceOf(const PassPlan& pass, int32_t layer) {
  kernels::AttentionSequence sequence;
  sequence.first_row = pass.first_row;
  sequence.num_tokens = pass.num_tokens;
  sequence.mode = pass.mode;
  if (!pass.masks.empty()) sequence.mask = pass.masks[layer];
  sequence.selection = pass.selection;
  sequence.selection.head_counts = CountsOf(pass.head_counts, sequence.mask, layer);
  return sequence;
}

std::vector<kernels::AttentionSequence> AttentionSequences(const PackedBatch& batch,
                                                           int32_t layer) {
  std::vector<kernels::AttentionSequence> sequences;
  sequences.reserve(batch.passes.size());
  for (const PassPlan& pass : batch.passes) sequences.push_back(SequenceOf(pass, layer));
  return sequences;
}

// The passes that select in the last layer, with all their queries; of the other passes the tiles
// that hold head rows. Where those are split, of all passes, and they are attended to last: a split
// tile's rows are not quite those of the whole, and a step that selects is to give the bits of one
// that does not.
struct LastSequences {
  std::vector<kernels::AttentionSequence> selecting;
  std::vector<kernels::AttentionSequence> tiles;
};
LastSequences LastAttentionSequences(const PackedBatch& batch, int32_t layer) {
  LastSequences sequences;
  for (const PassPlan& pass : batch.passes) {
    kernels::AttentionSequence sequence = SequenceOf(pass, layer);
    if (pass.mode == kernels::AttentionMode::kFullSelect) {
      sequences.selecting.push_back(sequence);
      if (!batch.splits_keys) continue;
      sequence.mode = kernels::AttentionMode::kFull;
    }
    for (const kernels::QueryRange& range :
         batch.ranges.subspan(pass.first_range, pass.num_ranges)) {
      sequence.queries = range;
      sequence.queries->split = batch.splits_keys;
      sequences.tiles.push_back(sequence);
    }
  }
  return sequences;
}

// probe: which of the passes' probes.
std::vector<kernels::AttentionSequence> ProbeSequences(const PackedBatch& batch, int32_t layer,
                                                       ProbePlan PassPlan::*probe) {
  std::vector<kernels::AttentionSequence> sequences;
  for (const PassPlan& pass : batch.passes) {
    const ProbePlan& plan = pass.*probe;
    if (plan.masks.empty() || plan.masks[layer].bits == nullptr) continue;
    kernels::AttentionSequence& sequence = sequences.emplace_back();
    sequence.first_row = pass.first_row;
    sequence.num_tokens = pass.num_tokens;
    sequence.mode = kernels::AttentionMode::kFullSelect;
    sequence.mask = plan.masks[layer];
    sequence.selection = plan.selection;
    sequence.selection.head_counts = CountsOf(plan.head_counts, sequence.mask, layer);
    sequence.selection.importance = plan.importances[layer];
    if (!plan.canvas_importances.empty()) {
      sequence.selection.canvas_importance = plan.canvas_importances[layer];
    }
    if (plan.queries.empty()) continue;
    sequence.queries = plan.queries[layer];
    sequence.queries->first_row = pass.first_row + sequence.queries->first_token;
  }
  return sequences;
}

}  // namespace

absl::Status TransformerModel::Forward(kernels::Backend& backend, const PackedBatch& batch,
                                       Workspace& workspace) const {
  const kernels::TensorView hidden = workspace.hidden(batch.num_rows);
  SPARSED_RETURN_IF_ERROR(backend.Embed(hidden, embedding_, batch.ids));
  SPARSED_RETURN_IF_ERROR(workspace.EndPart(backend, StepPart::kEmbed));
  for (int32_t layer = 0; layer + 1 < info_.num_layers; ++layer) {
    SPARSED_RETURN_IF_ERROR(AttentionBlock(backend, batch, layer, workspace));
    SPARSED_RETURN_IF_ERROR(FeedForwardBlock(backend, hidden, layer, workspace));
  }
  return LastLayer(backend, batch, workspace);
}

// hidden += out(attention(rope(qkv(norm(hidden)))))
absl::Status TransformerModel::AttentionBlock(kernels::Backend& backend, const PackedBatch& batch,
                                              int32_t layer, Workspace& workspace) const {
  const TransformerLayer& weights = layers_[layer];
  const kernels::TensorView hidden = workspace.hidden(batch.num_rows);
  const kernels::TensorView normed = workspace.normed(batch.num_rows);
  SPARSED_RETURN_IF_ERROR(
      backend.RmsNorm(normed, hidden, weights.attention_norm.as<float>(), info_.norm_eps));
  SPARSED_RETURN_IF_ERROR(workspace.EndPart(backend, StepPart::kNorm));

  const kernels::TensorView qkv = workspace.qkv(batch.num_rows);
  SPARSED_RETURN_IF_ERROR(backend.Linear(qkv, normed, *weights.qkv, /*accumulate=*/false));
  SPARSED_RETURN_IF_ERROR(workspace.EndPart(backend, StepPart::kLinear));
  SPARSED_RETURN_IF_ERROR(NormHeads(backend, qkv.Columns(0, q_cols()), weights.q_norm, workspace));
  SPARSED_RETURN_IF_ERROR(
      NormHeads(backend, qkv.Columns(q_cols(), kv_cols()), weights.k_norm, workspace));
  SPARSED_RETURN_IF_ERROR(backend.Rope(qkv.Columns(0, q_cols() + kv_cols()), batch.positions,
                                       cos_sin_.as<float>(), info_.head_dim));
  SPARSED_RETURN_IF_ERROR(workspace.EndPart(backend, StepPart::kRope));

  SPARSED_RETURN_IF_ERROR(ProbeLayer(backend, batch, layer, workspace));
  SPARSED_RETURN_IF_ERROR(
      Attend(backend, AttentionSequences(batch, layer), batch.num_rows, batch.num_rows, workspace));
  SPARSED_RETURN_IF_ERROR(backend.Linear(hidden, workspace.attended(batch.num_rows), *weights.out,
                                         /*accumulate=*/true));
  return workspace.EndPart(backend, StepPart::kLinear);
}

absl::Status TransformerModel::NormHeads(kernels::Backend& backend,
                                         const kernels::TensorView& heads,
                                         const kernels::Buffer& weight,
                                         Workspace& workspace) const {
  if (!info_.qk_norm) return absl::OkStatus();
  SPARSED_RETURN_IF_ERROR(
      backend.HeadNorm(heads, weight.as<float>(), info_.norm_eps, info_.head_dim));
  return workspace.EndPart(backend, StepPart::kNorm);
}

absl::Status TransformerModel::ProbeLayer(kernels::Backend& backend, const PackedBatch& batch,
                                          int32_t layer, Workspace& workspace) const {
  // One after the other: both write rows of the same output.
  for (const auto probe : {&PassPlan::inspection, &PassPlan::recall, &PassPlan::budgets}) {
    const std::vector<kernels::AttentionSequence> sequences = ProbeSequences(batch, layer, probe);
    if (sequences.empty()) continue;
    SPARSED_RETURN_IF_ERROR(Attend(backend, sequences, batch.num_rows, batch.num_rows, workspace));
  }
  return absl::OkStatus();
}

absl::Status TransformerModel::Attend(kernels::Backend& backend,
                                      std::span<const kernels::AttentionSequence> sequences,
                                      int64_t num_query_rows, int64_t num_rows,
                                      Workspace& workspace) const {
  const kernels::TensorView qkv = workspace.qkv(num_rows);
  kernels::AttentionParams params;
  params.out = workspace.attended(num_query_rows);
  params.q = qkv.Columns(0, q_cols()).Rows(0, num_query_rows);
  params.k = qkv.Columns(q_cols(), kv_cols());
  params.v = qkv.Columns(q_cols() + kv_cols(), kv_cols());
  params.num_heads = info_.num_heads;
  params.num_kv_heads = info_.num_kv_heads;
  params.head_dim = info_.head_dim;
  params.scale = static_cast<float>(1.0 / std::sqrt(info_.head_dim));
  params.sequences = sequences;
  SPARSED_RETURN_IF_ERROR(backend.Attention(params));
  return workspace.EndPart(backend, StepPart::kAttention);
}

absl::Status TransformerModel::FeedForwardBlock(kernels::Backend& backend,
                                                kernels::TensorView hidden, int32_t layer,
                                                Workspace& workspace) const {
  const TransformerLayer& weights = layers_[layer];
  const kernels::TensorView normed = workspace.normed(hidden.rows);
  SPARSED_RETURN_IF_ERROR(
      backend.RmsNorm(normed, hidden, weights.mlp_norm.as<float>(), info_.norm_eps));
  SPARSED_RETURN_IF_ERROR(workspace.EndPart(backend, StepPart::kNorm));

  for (int64_t first = 0; first < hidden.rows; first += Workspace::kMlpChunkRows) {
    const int64_t rows = std::min(hidden.rows - first, Workspace::kMlpChunkRows);
    const kernels::TensorView out = hidden.Rows(first, rows);
    const kernels::TensorView in = normed.Rows(first, rows);
    SPARSED_RETURN_IF_ERROR(info_.HasExperts(layer)
                                ? ExpertChunk(backend, out, in, weights.experts, workspace)
                                : DenseChunk(backend, out, in, weights, workspace));
  }
  return absl::OkStatus();
}

absl::Status TransformerModel::DenseChunk(kernels::Backend& backend, kernels::TensorView hidden,
                                          kernels::TensorView normed,
                                          const TransformerLayer& weights,
                                          Workspace& workspace) const {
  const kernels::TensorView gate_up = workspace.gate_up(hidden.rows);
  const kernels::TensorView activated = workspace.activated(hidden.rows);
  SPARSED_RETURN_IF_ERROR(backend.Linear(gate_up, normed, *weights.gate_up, /*accumulate=*/false));
  SPARSED_RETURN_IF_ERROR(workspace.EndPart(backend, StepPart::kLinear));
  SPARSED_RETURN_IF_ERROR(backend.SiluMul(activated, gate_up));
  SPARSED_RETURN_IF_ERROR(workspace.EndPart(backend, StepPart::kActivation));
  SPARSED_RETURN_IF_ERROR(backend.Linear(hidden, activated, *weights.down, /*accumulate=*/true));
  return workspace.EndPart(backend, StepPart::kLinear);
}

absl::Status TransformerModel::ExpertChunk(kernels::Backend& backend, kernels::TensorView hidden,
                                           kernels::TensorView normed, const ExpertWeights& weights,
                                           Workspace& workspace) const {
  const int32_t per_row = info_.experts.per_row;
  const int64_t slots = hidden.rows * per_row;
  const kernels::ExpertRouting routing = workspace.routing();
  const kernels::TensorView logits = workspace.router_logits(hidden.rows);
  SPARSED_RETURN_IF_ERROR(backend.Linear(logits, normed, *weights.router, /*accumulate=*/false));
  SPARSED_RETURN_IF_ERROR(workspace.EndPart(backend, StepPart::kLinear));
  SPARSED_RETURN_IF_ERROR(backend.RouteExperts(logits, per_row, routing));
  const kernels::TensorView rows = workspace.expert_rows(slots);
  SPARSED_RETURN_IF_ERROR(backend.GatherRows(rows, normed, routing.rows));
  SPARSED_RETURN_IF_ERROR(workspace.EndPart(backend, StepPart::kActivation));

  const kernels::TensorView gate_up = workspace.expert_gate_up(slots);
  const kernels::TensorView activated = workspace.expert_activated(slots);
  SPARSED_RETURN_IF_ERROR(
      backend.GroupedLinear(gate_up, rows, weights.gate_up, routing.first_slots));
  SPARSED_RETURN_IF_ERROR(workspace.EndPart(backend, StepPart::kLinear));
  SPARSED_RETURN_IF_ERROR(backend.SiluMul(activated, gate_up));
  SPARSED_RETURN_IF_ERROR(workspace.EndPart(backend, StepPart::kActivation));
  // The experts' results take the place of what they read.
  SPARSED_RETURN_IF_ERROR(
      backend.GroupedLinear(rows, activated, weights.down, routing.first_slots));
  SPARSED_RETURN_IF_ERROR(workspace.EndPart(backend, StepPart::kLinear));
  SPARSED_RETURN_IF_ERROR(backend.SumExperts(hidden, rows, routing, per_row));
  return workspace.EndPart(backend, StepPart::kActivation);
}

absl::Status TransformerModel::LastLayer(kernels::Backend& backend, const PackedBatch& batch,
                                         Workspace& workspace) const {
  if (batch.num_query_rows == 0) return absl::OkStatus();
  const int32_t last = info_.num_layers - 1;
  SPARSED_RETURN_IF_ERROR(LastQueriesKeysValues(backend, batch, workspace));
  SPARSED_RETURN_IF_ERROR(ProbeLayer(backend, batch, last, workspace));
  const LastSequences sequences = LastAttentionSequences(batch, last);
  for (const auto* some : {&sequences.selecting, &sequences.tiles}) {
    if (some->empty()) continue;
    SPARSED_RETURN_IF_ERROR(
        Attend(backend, *some, batch.num_query_rows, batch.num_rows, workspace));
  }
  if (batch.num_head_rows == 0) return absl::OkStatus();

  // From here on only the head rows; the queries' memory takes what was attended to.
  const kernels::TensorView hidden = workspace.head_input(batch.num_head_rows);
  const kernels::TensorView attended = workspace.qkv(batch.num_head_rows).Columns(0, q_cols());
  SPARSED_RETURN_IF_ERROR(
      backend.GatherRows(hidden, workspace.hidden(batch.num_rows), batch.head_rows));
  SPARSED_RETURN_IF_ERROR(backend.GatherRows(attended, workspace.attended(batch.num_query_rows),
                                             batch.head_query_rows));
  SPARSED_RETURN_IF_ERROR(workspace.EndPart(backend, StepPart::kHead));
  SPARSED_RETURN_IF_ERROR(
      backend.Linear(hidden, attended, *layers_[last].out, /*accumulate=*/true));
  SPARSED_RETURN_IF_ERROR(workspace.EndPart(backend, StepPart::kLinear));
  SPARSED_RETURN_IF_ERROR(FeedForwardBlock(backend, hidden, last, workspace));
  SPARSED_RETURN_IF_ERROR(backend.RmsNorm(hidden, hidden, final_norm_.as<float>(), info_.norm_eps));
  return workspace.EndPart(backend, StepPart::kHead);
}

// Keys and values of all rows, rotated queries of the query rows.
absl::Status TransformerModel::LastQueriesKeysValues(kernels::Backend& backend,
                                                     const PackedBatch& batch,
                                                     Workspace& workspace) const {
  const TransformerLayer& weights = layers_.back();
  const kernels::TensorView normed = workspace.normed(batch.num_rows);
  SPARSED_RETURN_IF_ERROR(backend.RmsNorm(normed, workspace.hidden(batch.num_rows),
                                          weights.attention_norm.as<float>(), info_.norm_eps));
  SPARSED_RETURN_IF_ERROR(workspace.EndPart(backend, StepPart::kNorm));

  const kernels::TensorView qkv = workspace.qkv(batch.num_rows);
  kernels::TensorView asking = normed;
  const int32_t* positions = batch.positions;
  if (batch.query_rows != nullptr) {
    asking = workspace.head_input(batch.num_query_rows);  // free until the head rows are known
    positions = batch.query_positions;
    SPARSED_RETURN_IF_ERROR(backend.GatherRows(asking, normed, batch.query_rows));
    SPARSED_RETURN_IF_ERROR(workspace.EndPart(backend, StepPart::kNorm));
  }
  const kernels::TensorView q = qkv.Columns(0, q_cols()).Rows(0, batch.num_query_rows);
  SPARSED_RETURN_IF_ERROR(backend.Linear(q, asking, *weights.q, /*accumulate=*/false));
  SPARSED_RETURN_IF_ERROR(backend.Linear(qkv.Columns(q_cols(), 2 * kv_cols()), normed, *weights.kv,
                                         /*accumulate=*/false));
  SPARSED_RETURN_IF_ERROR(workspace.EndPart(backend, StepPart::kLinear));
  const kernels::TensorView k = qkv.Columns(q_cols(), kv_cols());
  SPARSED_RETURN_IF_ERROR(NormHeads(backend, q, weights.q_norm, workspace));
  SPARSED_RETURN_IF_ERROR(NormHeads(backend, k, weights.k_norm, workspace));
  const auto* table = cos_sin_.as<float>();
  SPARSED_RETURN_IF_ERROR(backend.Rope(q, positions, table, info_.head_dim));
  SPARSED_RETURN_IF_ERROR(backend.Rope(k, batch.positions, table, info_.head_dim));
  return workspace.EndPart(backend, StepPart::kRope);
}

absl::Status TransformerModel::Logits(kernels::Backend& backend, Workspace& workspace,
                                      int64_t first, int64_t rows,
                                      kernels::TensorView logits) const {
  const kernels::TensorView input = workspace.head_input(first + rows).Rows(first, rows);
  SPARSED_RETURN_IF_ERROR(backend.Linear(logits, input, *head_, /*accumulate=*/false));
  return workspace.EndPart(backend, StepPart::kHead);
}

}  // namespace sparsed::engine
