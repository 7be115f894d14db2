// The forward pass that the families share: a bidirectional transformer with RMSNorm, rotary
// positions, SwiGLU, an output head, and grouped key/value heads where the checkpoint has them.
// What a family switches on is in ModelInfo, what it calls its tensors in TensorNaming.
// Source: modeling_llada.py of GSAI-ML/LLaDA-8B-Instruct. Departure: activations are in the
// backend's type throughout, without the reference's roundings to bf16 in between.
// Next: kernels/backend.h
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/model.h"
#include "engine/models/weight_source.h"
#include "kernels/backend.h"

namespace sparsed::engine {

// What a family's checkpoints call their tensors, without the closing ".weight". Those of a layer
// follow `layer`, the layer's number and a dot.
struct TensorNaming {
  const char* embedding;
  const char* final_norm;
  const char* head;
  const char* layer;
  const char* attention_norm;
  const char* q;
  const char* k;
  const char* v;
  const char* out;
  const char* mlp_norm;
  const char* gate;
  const char* up;
  const char* down;
  // Where the family has them. Those of an expert follow `expert`, its number and a dot.
  const char* q_norm = nullptr;
  const char* k_norm = nullptr;
  const char* router = nullptr;
  const char* expert = nullptr;
  const char* expert_gate = nullptr;
  const char* expert_up = nullptr;
  const char* expert_down = nullptr;
};

// The feed-forward part of a layer with experts.
struct ExpertWeights {
  std::unique_ptr<kernels::LinearWeight> router;                // E -> experts
  std::vector<std::unique_ptr<kernels::LinearWeight>> gate_up;  // of each: E -> 2F
  std::vector<std::unique_ptr<kernels::LinearWeight>> down;     // of each: F -> E
};

struct TransformerLayer {
  kernels::Buffer attention_norm;                  // [E] f32
  kernels::Buffer mlp_norm;                        // [E] f32
  std::unique_ptr<kernels::LinearWeight> qkv;      // E -> (H + 2 Hkv) D; not of the last layer
  std::unique_ptr<kernels::LinearWeight> q;        // E -> H D; of the last layer only
  std::unique_ptr<kernels::LinearWeight> kv;       // E -> 2 Hkv D; of the last layer only
  std::unique_ptr<kernels::LinearWeight> out;      // H D -> E
  kernels::Buffer q_norm;                          // [D] f32, with qk_norm
  kernels::Buffer k_norm;                          // [D] f32, with qk_norm
  std::unique_ptr<kernels::LinearWeight> gate_up;  // E -> 2F; of dense layers
  std::unique_ptr<kernels::LinearWeight> down;     // F -> E; of dense layers
  ExpertWeights experts;                           // of layers with experts
};

class TransformerModel : public Model {
 public:
  // Packs all weights for `backend`, one layer after the other. progress(done, total) counts
  // tensors and may be empty. Errors: as the source's and the backend's.
  static absl::StatusOr<std::unique_ptr<Model>> Create(
      const ModelInfo& info, const TensorNaming& naming, const WeightSource& source,
      kernels::Backend& backend, const std::function<void(int done, int total)>& progress);

  // Every tensor that Create asks for.
  static std::vector<std::string> TensorNames(const ModelInfo& info, const TensorNaming& naming);

  const ModelInfo& info() const override { return info_; }
  absl::Status Forward(kernels::Backend& backend, const PackedBatch& batch,
                       Workspace& workspace) const override;
  absl::Status Logits(kernels::Backend& backend, Workspace& workspace, int64_t first, int64_t rows,
                      kernels::TensorView logits) const override;

 private:
  friend class TransformerLoader;
  explicit TransformerModel(const ModelInfo& info) : info_(info) {}

  // One layer for all rows: hidden += attention, hidden += feed-forward.
  absl::Status AttentionBlock(kernels::Backend& backend, const PackedBatch& batch, int32_t layer,
                              Workspace& workspace) const;
  // With qk_norm, each head of `heads` [rows, heads*D]; else nothing.
  absl::Status NormHeads(kernels::Backend& backend, const kernels::TensorView& heads,
                         const kernels::Buffer& weight, Workspace& workspace) const;
  // hidden += feed-forward(norm(hidden)), any rows.
  absl::Status FeedForwardBlock(kernels::Backend& backend, kernels::TensorView hidden,
                                int32_t layer, Workspace& workspace) const;
  // hidden += down(silu(gate(normed)) * up(normed)), up to Workspace::kMlpChunkRows rows; or the
  // sum of that over the experts of each row.
  absl::Status DenseChunk(kernels::Backend& backend, kernels::TensorView hidden,
                          kernels::TensorView normed, const TransformerLayer& weights,
                          Workspace& workspace) const;
  absl::Status ExpertChunk(kernels::Backend& backend, kernels::TensorView hidden,
                           kernels::TensorView normed, const ExpertWeights& weights,
                           Workspace& workspace) const;
  // The last layer, in its three parts; see PackedBatch.
  absl::Status LastLayer(kernels::Backend& backend, const PackedBatch& batch,
                         Workspace& workspace) const;
  absl::Status LastQueriesKeysValues(kernels::Backend& backend, const PackedBatch& batch,
                                     Workspace& workspace) const;
  // What passes that are looked into select in this layer; its output is overwritten by Attend.
  absl::Status ProbeLayer(kernels::Backend& backend, const PackedBatch& batch, int32_t layer,
                          Workspace& workspace) const;
  absl::Status Attend(kernels::Backend& backend, std::span<const kernels::AttentionSequence> rows,
                      int64_t num_query_rows, int64_t num_rows, Workspace& workspace) const;

  int64_t q_cols() const { return int64_t{info_.num_heads} * info_.head_dim; }
  int64_t kv_cols() const { return int64_t{info_.num_kv_heads} * info_.head_dim; }

  ModelInfo info_;
  kernels::Buffer embedding_memory_;
  kernels::TensorView embedding_;  // [V, E] in the checkpoint's type
  kernels::Buffer cos_sin_;        // [max_tokens, D] f32: cosines of D/2 angles, then sines
  std::vector<TransformerLayer> layers_;
  kernels::Buffer final_norm_;  // [E] f32
  std::unique_ptr<kernels::LinearWeight> head_;
};

}  // namespace sparsed::engine
