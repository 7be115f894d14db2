// What is known of a checkpoint without its weights: the numbers that requests are checked against.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sparsed::engine {

struct ModelInfo {
  std::string family;  // "llada"
  uint64_t parameters = 0;
  int32_t num_layers = 0;
  int32_t num_heads = 0;     // H
  int32_t num_kv_heads = 0;  // Hkv
  int32_t head_dim = 0;      // D
  int32_t hidden_size = 0;   // E
  int32_t ffn_size = 0;      // F
  int32_t vocab_size = 0;    // V: rows of the embedding; ids are below it
  int32_t max_tokens = 0;    // prompt and canvas together
  int32_t mask_token_id = 0;
  // Ids that end a text: the config's end token first, then the end of a turn where there is one.
  std::vector<int32_t> end_token_ids;
  float norm_eps = 0;
  float rope_theta = 0;
  std::string dtype;              // of the weights in the checkpoint: "bf16"
  float default_temperature = 0;  // of requests that name none: generation_config.json's, or 0
};

}  // namespace sparsed::engine
