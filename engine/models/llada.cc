// LLaDA: the dense models of GSAI-ML (LLaDA-8B-Base and -Instruct, LLaDA-1.5) and what is trained
// in their layout.
// Source: GSAI-ML/LLaDA-8B-Instruct configuration_llada.py, modeling_llada.py.
#include <optional>

#include "absl/strings/str_cat.h"
#include "engine/models/config_parts.h"
#include "engine/models/families.h"
#include "engine/status_macros.h"

namespace sparsed::engine {
namespace {

constexpr int32_t kMaxMlpRatio = 64;

constexpr ConfigSwitch kSwitches[] = {
    {"activation_type", "\"silu\"", false, false},
    {"block_type", "\"llama\"", false, false},
    {"block_group_size", "1", true, false},
    {"weight_tying", "false", false, false},
    {"include_bias", "false", false, false},
    {"include_qkv_bias", "false", true, false},
    {"bias_for_layer_norm", "false", true, true},
    {"layer_norm_type", "\"rms\"", false, false},
    {"layer_norm_with_affine", "true", true, false},
    {"attention_layer_norm", "false", true, false},
    {"rope", "true", false, false},
    {"rope_full_precision", "true", true, false},
    {"alibi", "false", true, false},
    {"scale_logits", "false", true, false},
    {"input_emb_norm", "false", true, false},
    {"clip_qkv", "null", true, true},
    {"rope_scaling", "null", true, true},
    {"quantization_config", "null", true, true},
};

constexpr const char* kEndTokens[] = {"<|eot_id|>"};

// Without n_kv_heads: one head with multi_query_attention, else n_heads. With both they must agree.
absl::Status ReadKvHeads(const ConfigReader& config, ModelInfo& info) {
  SPARSED_ASSIGN_OR_RETURN(const std::optional<bool> multi_query,
                           config.OptionalBool("multi_query_attention"));
  const int32_t implied = multi_query.value_or(false) ? 1 : info.num_heads;
  info.num_kv_heads = implied;
  if (config.IsNull("n_kv_heads")) return absl::OkStatus();
  SPARSED_ASSIGN_OR_RETURN(const int32_t given, config.Integer("n_kv_heads", 1, info.num_heads));
  if (multi_query.has_value() && given != implied) {
    return config.Unsupported("n_kv_heads", absl::StrCat(implied, " with multi_query_attention ",
                                                         *multi_query ? "true" : "false"));
  }
  return ReadKeyValueHeads(config, "n_kv_heads", "n_heads", info);
}

absl::Status ReadFfn(const ConfigReader& config, ModelInfo& info) {
  if (!config.IsNull("mlp_hidden_size")) {
    SPARSED_ASSIGN_OR_RETURN(info.ffn_size, config.Integer("mlp_hidden_size", 1, kMaxFfn));
    return absl::OkStatus();
  }
  SPARSED_ASSIGN_OR_RETURN(const int32_t ratio, config.Integer("mlp_ratio", 1, kMaxMlpRatio));
  if (ratio > kMaxFfn / info.hidden_size) {
    return config.Unsupported("mlp_ratio", absl::StrCat("mlp_ratio x d_model up to ", kMaxFfn));
  }
  info.ffn_size = ratio * info.hidden_size;
  return absl::OkStatus();
}

// The embedding may have more rows than the vocabulary has tokens; ids are checked against the
// rows, special ids against the tokens.
absl::Status ReadVocabulary(const ConfigReader& config, ModelInfo& info) {
  SPARSED_ASSIGN_OR_RETURN(const int32_t tokens, config.Integer("vocab_size", 2, kMaxVocab));
  info.vocab_size = tokens;
  if (!config.IsNull("embedding_size")) {
    SPARSED_ASSIGN_OR_RETURN(info.vocab_size, config.Integer("embedding_size", tokens, kMaxVocab));
  }
  SPARSED_ASSIGN_OR_RETURN(info.mask_token_id, config.Integer("mask_token_id", 0, tokens - 1));
  SPARSED_ASSIGN_OR_RETURN(const int32_t end, config.Integer("eos_token_id", 0, tokens - 1));
  info.end_token_ids = {end};
  return CheckMaskToken(config, info);
}

absl::StatusOr<ModelInfo> ReadConfig(const ConfigReader& config) {
  SPARSED_RETURN_IF_ERROR(config.CheckSwitches(kSwitches));
  ModelInfo info;
  SPARSED_RETURN_IF_ERROR(ReadHeads(config, "d_model", "n_heads", info));
  SPARSED_RETURN_IF_ERROR(ReadKvHeads(config, info));
  SPARSED_RETURN_IF_ERROR(ReadFfn(config, info));
  SPARSED_RETURN_IF_ERROR(ReadVocabulary(config, info));
  SPARSED_ASSIGN_OR_RETURN(info.num_layers, config.Integer("n_layers", 1, kMaxLayers));
  SPARSED_ASSIGN_OR_RETURN(info.max_tokens, config.Integer("max_sequence_length", 1, kMaxTokens));
  SPARSED_ASSIGN_OR_RETURN(info.norm_eps, config.Real("rms_norm_eps", 0, 1));
  SPARSED_ASSIGN_OR_RETURN(info.rope_theta, config.Real("rope_theta", 1, kMaxRopeTheta));
  return info;
}

constexpr Family kFamily = {
    .name = "llada",
    .architecture = "LLaDAModelLM",
    .read_config = ReadConfig,
    .tensors = {.embedding = "model.transformer.wte",
                .final_norm = "model.transformer.ln_f",
                .head = "model.transformer.ff_out",
                .layer = "model.transformer.blocks.",
                .attention_norm = "attn_norm",
                .q = "q_proj",
                .k = "k_proj",
                .v = "v_proj",
                .out = "attn_out",
                .mlp_norm = "ff_norm",
                .gate = "ff_proj",
                .up = "up_proj",
                .down = "ff_out"},
    .end_tokens = kEndTokens,
};

}  // namespace

const Family& LladaFamily() { return kFamily; }

}  // namespace sparsed::engine
