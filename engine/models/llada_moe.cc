// LLaDA-MoE: LLaDA with a mixture of experts in the feed-forward layers, and queries and keys
// normalised head by head (inclusionAI/LLaDA-MoE-7B-A1B-Base and -Instruct).
// Source: inclusionAI/LLaDA-MoE-7B-A1B-Instruct configuration_lladamoe.py, modeling_lladamoe.py.
// The shares of the chosen experts are not scaled to a sum of 1 there, whatever norm_topk_prob
// says.
#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "engine/models/config_parts.h"
#include "engine/models/families.h"
#include "engine/status_macros.h"

namespace sparsed::engine {
namespace {

constexpr int32_t kMaxExperts = 1024;
constexpr int32_t kMaxExpertsPerRow = 64;
constexpr int32_t kDefaultMask = 156895;  // <|mask|>; the published configurations lack it
constexpr int32_t kDefaultEnd = 50279;
constexpr int32_t kDefaultMaxPositions = 4096;
constexpr double kDefaultNormEps = 1e-5;

constexpr ConfigSwitch kSwitches[] = {
    {"hidden_act", "\"silu\"", true, false},
    {"attention_bias", "false", true, false},
    {"qk_layernorm", "true", false, false},
    {"clip_qkv", "null", true, true},
    {"partial_rotary_factor", "1", false, false},
    {"rope_scaling", "null", true, true},
    {"shared_expert_intermediate_size", "null", false, true},
    {"moe_router_score_function", "\"softmax\"", false, false},
    {"moe_router_enable_expert_bias", "false", true, true},
    {"quantization_config", "null", true, true},
};

constexpr const char* kEndTokens[] = {"<|role_end|>"};

absl::Status ReadKvHeads(const ConfigReader& config, ModelInfo& info) {
  if (!config.IsNull("num_key_value_heads")) {
    return ReadKeyValueHeads(config, "num_key_value_heads", "num_attention_heads", info);
  }
  info.num_kv_heads = info.num_heads;
  return absl::OkStatus();
}

// After num_layers is known.
absl::Status ReadFeedForward(const ConfigReader& config, ModelInfo& info) {
  ExpertInfo& experts = info.experts;
  SPARSED_ASSIGN_OR_RETURN(experts.count, config.Integer("num_experts", 1, kMaxExperts));
  SPARSED_ASSIGN_OR_RETURN(
      experts.per_row,
      config.Integer("num_experts_per_tok", 1, std::min(experts.count, kMaxExpertsPerRow)));
  SPARSED_ASSIGN_OR_RETURN(experts.ffn_size,
                           config.Integer("expert_intermediate_size", 1, kMaxFfn));
  SPARSED_ASSIGN_OR_RETURN(experts.layers, config.Flags("moe_layer_freq", info.num_layers));
  if (std::find(experts.layers.begin(), experts.layers.end(), false) == experts.layers.end()) {
    return absl::OkStatus();
  }
  SPARSED_ASSIGN_OR_RETURN(info.ffn_size, config.Integer("dense_intermediate_size", 1, kMaxFfn));
  return absl::OkStatus();
}

absl::StatusOr<ModelInfo> ReadConfig(const ConfigReader& config) {
  SPARSED_RETURN_IF_ERROR(config.CheckSwitches(kSwitches));
  ModelInfo info;
  info.qk_norm = true;
  info.rounds_rotation = true;
  SPARSED_RETURN_IF_ERROR(ReadHeads(config, "hidden_size", "num_attention_heads", info));
  SPARSED_RETURN_IF_ERROR(ReadKvHeads(config, info));
  SPARSED_RETURN_IF_ERROR(ReadVocabulary(config, kDefaultMask, kDefaultEnd, info));
  SPARSED_ASSIGN_OR_RETURN(info.num_layers, config.Integer("num_hidden_layers", 1, kMaxLayers));
  SPARSED_RETURN_IF_ERROR(ReadFeedForward(config, info));
  SPARSED_ASSIGN_OR_RETURN(info.max_tokens, config.IntegerOr("max_position_embeddings",
                                                             kDefaultMaxPositions, 1, kMaxTokens));
  SPARSED_ASSIGN_OR_RETURN(info.norm_eps, config.RealOr("rms_norm_eps", kDefaultNormEps, 0, 1));
  SPARSED_ASSIGN_OR_RETURN(info.rope_theta, config.Real("rope_theta", 1, kMaxRopeTheta));
  SPARSED_ASSIGN_OR_RETURN(const std::optional<bool> tied,
                           config.OptionalBool("tie_word_embeddings"));
  info.tied_head = tied.value_or(false);
  return info;
}

constexpr Family kFamily = {
    .name = "llada-moe",
    .architecture = "LLaDAMoEModelLM",
    .read_config = ReadConfig,
    .tensors = {.embedding = "model.embed_tokens",
                .final_norm = "model.norm",
                .head = "lm_head",
                .layer = "model.layers.",
                .attention_norm = "input_layernorm",
                .q = "self_attn.q_proj",
                .k = "self_attn.k_proj",
                .v = "self_attn.v_proj",
                .out = "self_attn.o_proj",
                .mlp_norm = "post_attention_layernorm",
                .gate = "mlp.gate_proj",
                .up = "mlp.up_proj",
                .down = "mlp.down_proj",
                .q_norm = "self_attn.q_norm",
                .k_norm = "self_attn.k_norm",
                .router = "mlp.gate",
                .expert = "mlp.experts.",
                .expert_gate = "gate_proj",
                .expert_up = "up_proj",
                .expert_down = "down_proj"},
    .end_tokens = kEndTokens,
};

}  // namespace

const Family& LladaMoeFamily() { return kFamily; }

}  // namespace sparsed::engine
