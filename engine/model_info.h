// What is known of a checkpoint without its weights: the numbers that requests are checked against.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/remasking.h"

namespace sparsed::engine {

// The feed-forward layers that are experts, of which each row takes some.
struct ExpertInfo {
  int32_t count = 0;  // 0: none
  int32_t per_row = 0;
  int32_t ffn_size = 0;      // of one expert
  std::vector<bool> layers;  // num_layers: whether the layer has them; the others are dense
};

// What a request gets that does not say: the family's, or generation_config.json's.
struct SamplingDefaults {
  Remasking remasking = Remasking::kLowConfidence;
  float temperature = 0;
  // With Dream's rules only.
  float top_p = 1;
  int32_t top_k = 0;
  float algorithm_temperature = 0;
};

struct ModelInfo {
  std::string family;  // its name in engine/models/families.h: "llada"
  uint64_t parameters = 0;
  int32_t num_layers = 0;
  int32_t num_heads = 0;     // H
  int32_t num_kv_heads = 0;  // Hkv
  int32_t head_dim = 0;      // D
  int32_t hidden_size = 0;   // E
  int32_t ffn_size = 0;      // F of the dense layers; 0 where there is none
  ExpertInfo experts;
  int32_t vocab_size = 0;  // V: rows of the embedding; ids are below it
  int32_t max_tokens = 0;  // prompt and canvas together
  int32_t mask_token_id = 0;
  // Ids that end a text: the config's end token first, then the end of a turn where there is one.
  std::vector<int32_t> end_token_ids;
  // What the families differ in.
  bool predicts_next = false;  // row i of the logits is of position i + 1, as in Dream
  bool tied_head = false;      // the output head is the embedding
  bool qkv_bias = false;
  bool qk_norm = false;  // RMSNorm of every query and key head before the rotation
  // The reference takes its sines and cosines in the type of the activations.
  bool rounds_rotation = false;
  float norm_eps = 0;
  float rope_theta = 0;
  std::string dtype;  // of the weights in the checkpoint: "bf16"
  SamplingDefaults defaults;

  bool HasExperts(int32_t layer) const { return experts.count > 0 && experts.layers[layer]; }
};

}  // namespace sparsed::engine
