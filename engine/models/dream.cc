// Dream: a Qwen2 decoder without causality that predicts each token from the position before it
// (Dream-v0-Base-7B and -Instruct-7B; Dream-Coder and DiffuCoder have the same class).
// Source: Dream-org/Dream-v0-Instruct-7B configuration_dream.py, modeling_dream.py; the defaults
// are that class's.
#include <optional>

#include "engine/models/config_parts.h"
#include "engine/models/families.h"
#include "engine/status_macros.h"

namespace sparsed::engine {
namespace {

constexpr int32_t kDefaultMask = 151666;  // <|mask|>
constexpr int32_t kDefaultEnd = 151643;   // <|endoftext|>, also of generation_config.json
constexpr int32_t kDefaultKvHeads = 32;
constexpr int32_t kDefaultMaxPositions = 32768;
constexpr double kDefaultNormEps = 1e-6;
constexpr double kDefaultRopeTheta = 10000;

constexpr ConfigSwitch kSwitches[] = {
    {"hidden_act", "\"silu\"", true, false},     {"rope_scaling", "null", true, true},
    {"use_mrope", "false", true, true},          {"use_sliding_window", "false", true, true},
    {"quantization_config", "null", true, true},
};

// The end of a turn; what DiffuCoder fills its answers up with.
constexpr const char* kEndTokens[] = {"<|im_end|>", "<|dlm_pad|>"};

absl::Status ReadKvHeads(const ConfigReader& config, ModelInfo& info) {
  constexpr char kKey[] = "num_key_value_heads";
  if (config.IsAbsent(kKey)) {
    info.num_kv_heads = kDefaultKvHeads;
    if (info.num_heads % kDefaultKvHeads == 0) return absl::OkStatus();
  } else if (config.IsNull(kKey)) {
    info.num_kv_heads = info.num_heads;
    return absl::OkStatus();
  }
  return ReadKeyValueHeads(config, kKey, "num_attention_heads", info);
}

absl::StatusOr<ModelInfo> ReadConfig(const ConfigReader& config) {
  SPARSED_RETURN_IF_ERROR(config.CheckSwitches(kSwitches));
  ModelInfo info;
  info.predicts_next = true;
  info.defaults.remasking =
      Remasking::kOrigin;  // of diffusion_generate, where nothing else is said
  info.qkv_bias = true;
  info.rounds_rotation = true;
  SPARSED_RETURN_IF_ERROR(ReadHeads(config, "hidden_size", "num_attention_heads", info));
  SPARSED_RETURN_IF_ERROR(ReadKvHeads(config, info));
  SPARSED_RETURN_IF_ERROR(ReadVocabulary(config, kDefaultMask, kDefaultEnd, info));
  SPARSED_ASSIGN_OR_RETURN(info.num_layers, config.Integer("num_hidden_layers", 1, kMaxLayers));
  SPARSED_ASSIGN_OR_RETURN(info.ffn_size, config.Integer("intermediate_size", 1, kMaxFfn));
  SPARSED_ASSIGN_OR_RETURN(info.max_tokens, config.IntegerOr("max_position_embeddings",
                                                             kDefaultMaxPositions, 1, kMaxTokens));
  SPARSED_ASSIGN_OR_RETURN(info.norm_eps, config.RealOr("rms_norm_eps", kDefaultNormEps, 0, 1));
  SPARSED_ASSIGN_OR_RETURN(info.rope_theta,
                           config.RealOr("rope_theta", kDefaultRopeTheta, 1, kMaxRopeTheta));
  SPARSED_ASSIGN_OR_RETURN(const std::optional<bool> tied,
                           config.OptionalBool("tie_word_embeddings"));
  info.tied_head = tied.value_or(false);
  return info;
}

constexpr Family kFamily = {
    .name = "dream",
    .architecture = "DreamModel",
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
                .down = "mlp.down_proj"},
    .end_tokens = kEndTokens,
};

}  // namespace

const Family& DreamFamily() { return kFamily; }

}  // namespace sparsed::engine
