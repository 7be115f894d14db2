#include "engine/models/config_parts.h"

#include "absl/strings/str_cat.h"
#include "engine/status_macros.h"

namespace sparsed::engine {
namespace {

constexpr int32_t kHeadDimMultiple = 16;
constexpr int32_t kMaxHeadDim = 256;

}  // namespace

absl::Status ReadHeads(const ConfigReader& config, const std::string& hidden_key,
                       const std::string& heads_key, ModelInfo& info) {
  SPARSED_ASSIGN_OR_RETURN(info.hidden_size, config.Integer(hidden_key, 1, kMaxHidden));
  SPARSED_ASSIGN_OR_RETURN(info.num_heads, config.Integer(heads_key, 1, kMaxHeads));
  if (info.hidden_size % info.num_heads != 0) {
    return config.Unsupported(heads_key,
                              absl::StrCat("a divisor of ", hidden_key, " ", info.hidden_size));
  }
  info.head_dim = info.hidden_size / info.num_heads;
  if (info.head_dim % kHeadDimMultiple != 0 || info.head_dim > kMaxHeadDim) {
    return config.Unsupported(
        heads_key,
        absl::StrCat("a head dimension ", hidden_key, " / ", heads_key, " that is a multiple of ",
                     kHeadDimMultiple, " up to ", kMaxHeadDim, ", here it is ", info.head_dim));
  }
  if (config.IsNull("head_dim")) return absl::OkStatus();
  return config.Integer("head_dim", info.head_dim, info.head_dim).status();
}

absl::Status ReadKeyValueHeads(const ConfigReader& config, const std::string& key,
                               const std::string& heads_key, ModelInfo& info) {
  SPARSED_ASSIGN_OR_RETURN(info.num_kv_heads, config.Integer(key, 1, info.num_heads));
  if (info.num_heads % info.num_kv_heads == 0) return absl::OkStatus();
  return config.Unsupported(key, absl::StrCat("a divisor of ", heads_key, " ", info.num_heads));
}

absl::Status ReadVocabulary(const ConfigReader& config, int32_t default_mask, int32_t default_end,
                            ModelInfo& info) {
  SPARSED_ASSIGN_OR_RETURN(info.vocab_size, config.Integer("vocab_size", 2, kMaxVocab));
  const int32_t last = info.vocab_size - 1;
  SPARSED_ASSIGN_OR_RETURN(info.mask_token_id,
                           config.IntegerOr("mask_token_id", default_mask, 0, last));
  SPARSED_ASSIGN_OR_RETURN(const int32_t end,
                           config.IntegerOr("eos_token_id", default_end, 0, last));
  info.end_token_ids = {end};
  return CheckMaskToken(config, info);
}

absl::Status CheckMaskToken(const ConfigReader& config, const ModelInfo& info) {
  if (info.end_token_ids.front() != info.mask_token_id) return absl::OkStatus();
  return config.Unsupported("mask_token_id", "another id than eos_token_id");
}

}  // namespace sparsed::engine
