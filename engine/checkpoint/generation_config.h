// generation_config.json: what a checkpoint's authors generate with.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/model_info.h"

namespace sparsed::engine {

struct GenerationConfig {
  // eos_token_id: one, several or none; below the vocabulary's size, and none is the mask token.
  std::vector<int32_t> end_token_ids;
  std::optional<float> temperature;    // 0 where do_sample is false; 0..100
  std::optional<float> top_p;          // (0, 1]
  std::optional<int32_t> top_k;        // 0: all tokens
  std::optional<int32_t> steps;        // of Dream
  std::optional<Remasking> remasking;  // of Dream, its alg
  std::optional<float> alg_temp;       // of Dream; 0..100
};

// Of dir/generation_config.json; nothing is set where there is no such file. Null is absent, other
// keys are ignored. Errors: INVALID_ARGUMENT naming the file, the key, its value and what is
// supported.
absl::StatusOr<GenerationConfig> ReadGenerationConfig(const std::string& dir,
                                                      const ModelInfo& info);
absl::StatusOr<GenerationConfig> ParseGenerationConfig(const std::string& json,
                                                       const ModelInfo& info);

}  // namespace sparsed::engine
