// What is to be known of a folder with a checkpoint before it is served, without its weights.
// Next: folder_parts.h
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/checkpoint/generation_config.h"
#include "engine/engine.h"
#include "engine/model_info.h"

namespace sparsed::engine {

struct TokenText {
  int32_t id = 0;
  std::string text;  // empty where the tokenizer has none for it, or there is no tokenizer
};

// What serving the model takes on one device, with one type of weights.
struct DeviceNeeds {
  std::string device;  // "cpu" or "cuda"
  kernels::WeightType weights = kernels::WeightType::kFull;
  std::string error;  // not empty: why the device cannot take the model; the rest is 0
  uint64_t weights_bytes = 0;
  uint64_t workspace_bytes = 0;  // of the engine and the backend, for the largest step
  // Sparse attention's patterns of one request: its tokens, and the bytes.
  std::vector<std::pair<int32_t, uint64_t>> patterns;
};

struct ModelReport {
  std::vector<std::string> architectures;  // as config.json has them
  std::optional<ModelInfo> info;           // nothing where config.json is wrong
  GenerationConfig generation;
  std::string tokenizer;  // Tokenizer::Describe; empty where there is none that can be read
  int32_t tokenizer_ids = 0;
  TokenText mask_token;
  std::vector<TokenText> end_tokens;
  bool has_chat_template = false;

  uint64_t tensors_found = 0;
  uint64_t tensor_bytes = 0;
  std::string tensor_dtype;  // "bf16" or "mixed"
  std::vector<std::string> missing_tensors;
  std::vector<std::string> extra_tensors;

  std::vector<DeviceNeeds> devices;   // none without `info` and tensors
  std::vector<std::string> problems;  // none: LoadModelFolder takes the folder
};

// Reads everything but the large tensors, and measures what the engine would allocate for `options`
// by having it allocate from backends that only count. longest_request: where DeviceNeeds::patterns
// end, if the context does not end before.
ModelReport CheckModelFolder(const std::string& dir, const EngineOptions& options,
                             int32_t longest_request = std::numeric_limits<int32_t>::max());

}  // namespace sparsed::engine
