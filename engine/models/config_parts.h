// What the families read alike from their config.json, under keys of their own.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "engine/checkpoint/config_reader.h"
#include "engine/model_info.h"

namespace sparsed::engine {

// Far above any published model, and small enough that no product of two of them, nor the bytes of
// the largest matrix, overflows 64 bits.
inline constexpr int32_t kMaxLayers = 1024;
inline constexpr int32_t kMaxHeads = 1024;
inline constexpr int32_t kMaxHidden = 1 << 16;
inline constexpr int32_t kMaxFfn = 1 << 20;
inline constexpr int32_t kMaxVocab = 1 << 22;
inline constexpr int32_t kMaxTokens = 1 << 20;
inline constexpr double kMaxRopeTheta = 1e12;

// Sets hidden_size, num_heads and head_dim, which is their quotient, also where the key head_dim is
// given.
absl::Status ReadHeads(const ConfigReader& config, const std::string& hidden_key,
                       const std::string& heads_key, ModelInfo& info);
// Sets num_kv_heads: `key`, a divisor of info.num_heads, which `heads_key` gave.
absl::Status ReadKeyValueHeads(const ConfigReader& config, const std::string& key,
                               const std::string& heads_key, ModelInfo& info);
// Sets vocab_size, mask_token_id and end_token_ids from vocab_size, mask_token_id and eos_token_id,
// of which the latter two have defaults.
absl::Status ReadVocabulary(const ConfigReader& config, int32_t default_mask, int32_t default_end,
                            ModelInfo& info);
// The mask and the end token are two.
absl::Status CheckMaskToken(const ConfigReader& config, const ModelInfo& info);

}  // namespace sparsed::engine
