#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/checkpoint/strict_json.h"
#include "engine/status_macros.h"

namespace sparsed::engine {
namespace {

using Json = nlohmann::json;

constexpr uint64_t kMaxConfigBytes = 1 << 20;
constexpr char kArchitecture[] = "LLaDAModelLM";

// Far above any published model, and small enough that no product of two of them, nor the bytes of
// the largest matrix, overflows 64 bits.
constexpr int32_t kMaxLayers = 1024;
constexpr int32_t kMaxHeads = 1024;
constexpr int32_t kMaxHidden = 1 << 16;
constexpr int32_t kMaxFfn = 1 << 20;
constexpr int32_t kMaxVocab = 1 << 22;
constexpr int32_t kMaxTokens = 1 << 20;
constexpr int32_t kMaxMlpRatio = 64;
constexpr int32_t kHeadDimMultiple = 16;
constexpr int32_t kMaxHeadDim = 256;

// Switches of which one value is implemented. The class default, which an absent key means, is that
// value where absent_ok; null means it where null_ok.
// Source: GSAI-ML/LLaDA-8B-Instruct configuration_llada.py.
struct Switch {
  const char* key;
  const char* supported;  // as JSON
  bool absent_ok;
  bool null_ok;
};
constexpr Switch kSwitches[] = {
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

class ConfigReader {
 public:
  explicit ConfigReader(const Json& config) : config_(config) {}

  bool IsNull(const std::string& key) const {
    return !config_.contains(key) || config_[key].is_null();
  }

  absl::Status Unsupported(const std::string& key, const std::string& supported) const {
    const std::string value =
        config_.contains(key)
            ? config_[key].dump(-1, ' ', /*ensure_ascii=*/true, Json::error_handler_t::replace)
            : "absent";
    constexpr size_t kMaxShown = 200;
    return absl::InvalidArgumentError(absl::StrCat(key, " is ", value.substr(0, kMaxShown),
                                                   value.size() > kMaxShown ? "..." : "",
                                                   "; supported: ", supported));
  }

  absl::StatusOr<int32_t> Integer(const std::string& key, int32_t least, int32_t most) const {
    const std::string supported = absl::StrCat("an integer from ", least, " to ", most);
    if (IsNull(key) || !config_[key].is_number_integer()) return Unsupported(key, supported);
    // Values above the signed range read as negative ones here: refused either way.
    const int64_t value = config_[key].get<int64_t>();
    if (value < least || value > most) return Unsupported(key, supported);
    return static_cast<int32_t>(value);
  }

  // Above `above` and at most `most`, and a float32.
  absl::StatusOr<float> Real(const std::string& key, double above, double most) const {
    const std::string supported = absl::StrCat("a number above ", above, " and up to ", most);
    if (IsNull(key) || !config_[key].is_number()) return Unsupported(key, supported);
    const double value = config_[key].get<double>();
    const float rounded = static_cast<float>(value);
    if (!(value > above && value <= most) || !(rounded > static_cast<float>(above))) {
      return Unsupported(key, supported);
    }
    return rounded;
  }

  // true, false, or nothing for null and absent.
  absl::StatusOr<std::optional<bool>> OptionalBool(const std::string& key) const {
    if (IsNull(key)) return std::optional<bool>();
    if (!config_[key].is_boolean()) return Unsupported(key, "true, false, null");
    return std::optional<bool>(config_[key].get<bool>());
  }

  absl::Status CheckSwitches() const {
    for (const Switch& item : kSwitches) {
      const bool absent = !config_.contains(item.key);
      const bool ok = absent ? item.absent_ok
                      : config_[item.key].is_null()
                          ? item.null_ok
                          : config_[item.key] == Json::parse(item.supported, nullptr, false);
      if (!ok) return Unsupported(item.key, item.supported);
    }
    return absl::OkStatus();
  }

  absl::Status CheckArchitecture() const {
    const std::string supported = absl::StrCat("[\"", kArchitecture, "\"]");
    if (IsNull("architectures") || !config_["architectures"].is_array()) {
      return Unsupported("architectures", supported);
    }
    const Json& names = config_["architectures"];
    if (std::find(names.begin(), names.end(), kArchitecture) == names.end()) {
      return Unsupported("architectures", supported);
    }
    return absl::OkStatus();
  }

 private:
  const Json& config_;
};

// Without n_kv_heads: one head with multi_query_attention, else n_heads. With both they must agree.
absl::StatusOr<int32_t> ReadKvHeads(const ConfigReader& config, int32_t num_heads) {
  SPARSED_ASSIGN_OR_RETURN(const std::optional<bool> multi_query,
                           config.OptionalBool("multi_query_attention"));
  const int32_t implied = multi_query.value_or(false) ? 1 : num_heads;
  if (config.IsNull("n_kv_heads")) return implied;
  SPARSED_ASSIGN_OR_RETURN(const int32_t given, config.Integer("n_kv_heads", 1, num_heads));
  if (multi_query.has_value() && given != implied) {
    return config.Unsupported("n_kv_heads", absl::StrCat(implied, " with multi_query_attention ",
                                                         *multi_query ? "true" : "false"));
  }
  if (num_heads % given != 0) {
    return config.Unsupported("n_kv_heads", absl::StrCat("a divisor of n_heads ", num_heads));
  }
  return given;
}

absl::Status ReadHeads(const ConfigReader& config, ModelInfo& info) {
  SPARSED_ASSIGN_OR_RETURN(info.hidden_size, config.Integer("d_model", 1, kMaxHidden));
  SPARSED_ASSIGN_OR_RETURN(info.num_heads, config.Integer("n_heads", 1, kMaxHeads));
  if (info.hidden_size % info.num_heads != 0) {
    return config.Unsupported("n_heads", absl::StrCat("a divisor of d_model ", info.hidden_size));
  }
  info.head_dim = info.hidden_size / info.num_heads;
  if (info.head_dim % kHeadDimMultiple != 0 || info.head_dim > kMaxHeadDim) {
    return config.Unsupported(
        "n_heads",
        absl::StrCat("a head dimension d_model / n_heads that is a multiple of ", kHeadDimMultiple,
                     " up to ", kMaxHeadDim, ", here it is ", info.head_dim));
  }
  SPARSED_ASSIGN_OR_RETURN(info.num_kv_heads, ReadKvHeads(config, info.num_heads));
  return absl::OkStatus();
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
  if (end == info.mask_token_id) {
    return config.Unsupported("mask_token_id", "another id than eos_token_id");
  }
  info.end_token_ids = {end};
  return absl::OkStatus();
}

std::string DTypeName(const Json& config) {
  const std::string name = config.contains("torch_dtype") && config["torch_dtype"].is_string()
                               ? config["torch_dtype"].get<std::string>()
                               : "";
  if (name == "bfloat16") return "bf16";
  if (name == "float16") return "f16";
  if (name == "float32") return "f32";
  return "";
}

absl::StatusOr<ModelInfo> InfoFromConfig(const Json& json) {
  if (!json.is_object()) return absl::InvalidArgumentError("not a JSON object");
  const ConfigReader config(json);
  SPARSED_RETURN_IF_ERROR(config.CheckArchitecture());
  SPARSED_RETURN_IF_ERROR(config.CheckSwitches());
  ModelInfo info;
  info.family = "llada";
  SPARSED_RETURN_IF_ERROR(ReadHeads(config, info));
  SPARSED_RETURN_IF_ERROR(ReadFfn(config, info));
  SPARSED_RETURN_IF_ERROR(ReadVocabulary(config, info));
  SPARSED_ASSIGN_OR_RETURN(info.num_layers, config.Integer("n_layers", 1, kMaxLayers));
  SPARSED_ASSIGN_OR_RETURN(info.max_tokens, config.Integer("max_sequence_length", 1, kMaxTokens));
  SPARSED_ASSIGN_OR_RETURN(info.norm_eps, config.Real("rms_norm_eps", 0, 1));
  SPARSED_ASSIGN_OR_RETURN(info.rope_theta, config.Real("rope_theta", 1, 1e12));
  info.dtype = DTypeName(json);
  return info;
}

}  // namespace

absl::StatusOr<ModelInfo> ParseModelConfig(const std::string& json) {
  SPARSED_ASSIGN_OR_RETURN(const Json config, ParseStrictJson(json));
  return InfoFromConfig(config);
}

absl::StatusOr<ModelInfo> ReadModelConfig(const std::string& dir) {
  const std::string path = absl::StrCat(dir, "/config.json");
  SPARSED_ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(path, kMaxConfigBytes));
  absl::StatusOr<ModelInfo> info = ParseModelConfig(text);
  if (!info.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", info.status().message()));
  }
  return info;
}

}  // namespace sparsed::engine
