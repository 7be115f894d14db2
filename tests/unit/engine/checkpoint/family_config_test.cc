// The configurations of the families beside LLaDA's own.
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/checkpoint/checkpoint.h"
#include "tests/testing/catch.h"

namespace sparsed::engine {
namespace {

using Json = nlohmann::json;

// Dream-7B's.
Json Dream7b() {
  return Json::parse(R"({
    "architectures": ["DreamModel"], "model_type": "Dream", "hidden_size": 3584,
    "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4,
    "intermediate_size": 18944, "vocab_size": 152064, "hidden_act": "silu", "rms_norm_eps": 1e-6,
    "rope_theta": 1000000.0, "rope_scaling": null, "tie_word_embeddings": false,
    "use_sliding_window": false, "sliding_window": null, "attention_dropout": 0.0,
    "max_position_embeddings": 131072, "mask_token_id": 151666, "bos_token_id": 151643,
    "eos_token_id": 151643, "pad_token_id": 151643, "torch_dtype": "bfloat16"})");
}

// LLaDA-MoE-7B-A1B's, which lacks mask_token_id.
Json LladaMoe() {
  Json config = Json::parse(R"({
    "architectures": ["LLaDAMoEModelLM"], "model_type": "llada", "hidden_size": 2048,
    "num_hidden_layers": 16, "num_attention_heads": 16, "num_key_value_heads": 16,
    "num_experts": 64, "num_experts_per_tok": 8, "expert_intermediate_size": 1024,
    "dense_intermediate_size": 8192, "shared_expert_intermediate_size": null,
    "qk_layernorm": true, "attention_bias": false, "clip_qkv": null, "hidden_act": "silu",
    "rms_norm_eps": 1e-5, "rope_theta": 50000, "rope_scaling": null, "partial_rotary_factor": 1.0,
    "moe_router_score_function": "softmax", "moe_router_enable_expert_bias": false,
    "norm_topk_prob": null, "routed_scaling_factor": 1, "tie_word_embeddings": false,
    "vocab_size": 157184, "max_position_embeddings": 8192, "eos_token_id": 156892,
    "pad_token_id": 156892, "torch_dtype": "bfloat16"})");
  config["moe_layer_freq"] = std::vector<int>(16, 1);
  return config;
}

absl::StatusOr<ModelInfo> With(Json config, const std::string& key,
                               const std::optional<Json>& value) {
  config.erase(key);
  if (value.has_value()) config[key] = *value;
  return ParseModelConfig(config.dump());
}

struct Refusal {
  const char* key;
  std::optional<Json> value;
  const char* start;
  const char* supported;
};

void CheckRefused(const Json& config, const std::vector<Refusal>& refusals) {
  for (const Refusal& refusal : refusals) {
    const auto info = With(config, refusal.key, refusal.value);
    INFO(refusal.key << " | wanted: " << refusal.start);
    REQUIRE(!info.ok());
    CHECK(info.status().code() == absl::StatusCode::kInvalidArgument);
    const std::string message(info.status().message());
    INFO(message);
    CHECK(message.find(refusal.start) == 0);
    CHECK(message.find(std::string("; supported: ") + refusal.supported) != std::string::npos);
  }
}

TEST_CASE("Dream's configuration is read") {
  const auto info = ParseModelConfig(Dream7b().dump());
  INFO(info.status().ToString());
  REQUIRE(info.ok());
  CHECK(info->family == "dream");
  CHECK(info->num_layers == 28);
  CHECK(info->num_heads == 28);
  CHECK(info->num_kv_heads == 4);
  CHECK(info->head_dim == 128);
  CHECK(info->hidden_size == 3584);
  CHECK(info->ffn_size == 18944);
  CHECK(info->vocab_size == 152064);
  CHECK(info->max_tokens == 131072);
  CHECK(info->mask_token_id == 151666);
  CHECK(info->end_token_ids == std::vector<int32_t>{151643});
  CHECK(info->norm_eps == 1e-6f);
  CHECK(info->rope_theta == 1e6f);
  CHECK(info->dtype == "bf16");
  CHECK(info->predicts_next);
  CHECK(info->qkv_bias);
  CHECK(info->rounds_rotation);
  CHECK(!info->tied_head);
}

TEST_CASE("what Dream's configuration lacks is what the class has") {
  const Json config = Dream7b();
  CHECK(With(config, "rope_theta", std::nullopt)->rope_theta == 10000.0f);
  CHECK(With(config, "rms_norm_eps", std::nullopt)->norm_eps == 1e-6f);
  CHECK(With(config, "mask_token_id", std::nullopt)->mask_token_id == 151666);
  CHECK(With(config, "eos_token_id", std::nullopt)->end_token_ids == std::vector<int32_t>{151643});
  CHECK(With(config, "max_position_embeddings", std::nullopt)->max_tokens == 32768);
  CHECK(With(config, "num_key_value_heads", nullptr)->num_kv_heads == 28);
  CHECK(With(config, "tie_word_embeddings", true)->tied_head);
  CHECK(With(config, "tie_word_embeddings", std::nullopt).ok());
  CHECK(With(config, "head_dim", 128).ok());
  Json wide = config;
  wide["hidden_size"] = 4096;
  wide["num_attention_heads"] = 64;
  CHECK(With(wide, "num_key_value_heads", std::nullopt)->num_kv_heads == 32);
}

TEST_CASE("what is not implemented of Dream is refused by name and value") {
  CheckRefused(
      Dream7b(),
      {
          {"hidden_act", "gelu", "hidden_act is \"gelu\"", "\"silu\""},
          {"rope_scaling", Json{{"factor", 4}}, "rope_scaling is {\"factor\":4}", "null"},
          {"use_sliding_window", true, "use_sliding_window is true", "false"},
          {"use_mrope", true, "use_mrope is true", "false"},
          {"quantization_config", Json{{"bits", 4}}, "quantization_config is", "null"},
          {"tie_word_embeddings", 1, "tie_word_embeddings is 1", "true, false, null"},
          {"head_dim", 64, "head_dim is 64", "an integer from 128 to 128"},
          {"num_key_value_heads", 3, "num_key_value_heads is 3",
           "a divisor of num_attention_heads 28"},
          {"num_key_value_heads", std::nullopt, "num_key_value_heads is absent", "an integer from"},
          {"vocab_size", std::nullopt, "vocab_size is absent", "an integer from"},
          {"vocab_size", 151000, "mask_token_id is 151666", "an integer from 0 to 150999"},
          {"mask_token_id", nullptr, "mask_token_id is null", "an integer from"},
          {"mask_token_id", 151643, "mask_token_id is 151643", "another id than eos_token_id"},
          {"rope_theta", nullptr, "rope_theta is null", "a number above 1"},
      });
}

TEST_CASE("LLaDA-MoE's configuration is read") {
  const auto info = ParseModelConfig(LladaMoe().dump());
  INFO(info.status().ToString());
  REQUIRE(info.ok());
  CHECK(info->family == "llada-moe");
  CHECK(info->num_layers == 16);
  CHECK(info->num_kv_heads == 16);
  CHECK(info->head_dim == 128);
  CHECK(info->ffn_size == 0);
  CHECK(info->experts.count == 64);
  CHECK(info->experts.per_row == 8);
  CHECK(info->experts.ffn_size == 1024);
  CHECK(info->HasExperts(0));
  CHECK(info->HasExperts(15));
  CHECK(info->qk_norm);
  CHECK(info->rounds_rotation);
  CHECK(!info->qkv_bias);
  CHECK(!info->predicts_next);
  CHECK(info->max_tokens == 8192);
  CHECK(info->mask_token_id == 156895);
  CHECK(info->end_token_ids == std::vector<int32_t>{156892});
  CHECK(info->norm_eps == 1e-5f);
  CHECK(info->rope_theta == 50000.0f);

  std::vector<int> freq(16, 1);
  freq[0] = 0;
  const auto dense = With(LladaMoe(), "moe_layer_freq", freq);
  REQUIRE(dense.ok());
  CHECK(!dense->HasExperts(0));
  CHECK(dense->HasExperts(1));
  CHECK(dense->ffn_size == 8192);
  CHECK(With(LladaMoe(), "num_key_value_heads", nullptr)->num_kv_heads == 16);
}

TEST_CASE("what is not implemented of LLaDA-MoE is refused by name and value") {
  CheckRefused(
      LladaMoe(),
      {
          {"hidden_act", "gelu", "hidden_act is \"gelu\"", "\"silu\""},
          {"attention_bias", true, "attention_bias is true", "false"},
          {"qk_layernorm", std::nullopt, "qk_layernorm is absent", "true"},
          {"clip_qkv", 8, "clip_qkv is 8", "null"},
          {"partial_rotary_factor", 0.5, "partial_rotary_factor is 0.5", "1"},
          {"shared_expert_intermediate_size", 1024, "shared_expert_intermediate_size is 1024",
           "null"},
          {"moe_router_score_function", "sigmoid", "moe_router_score_function is \"sigmoid\"",
           "\"softmax\""},
          {"moe_router_enable_expert_bias", true, "moe_router_enable_expert_bias is true", "false"},
          {"num_experts", 0, "num_experts is 0", "an integer from 1 to 1024"},
          {"num_experts_per_tok", 65, "num_experts_per_tok is 65", "an integer from 1 to 64"},
          {"expert_intermediate_size", -1, "expert_intermediate_size is -1", "an integer from 1"},
          {"moe_layer_freq", std::nullopt, "moe_layer_freq is absent",
           "an array of 16 numbers 0 or 1"},
          {"moe_layer_freq", std::vector<int>(15, 1), "moe_layer_freq is [1",
           "an array of 16 numbers"},
          {"moe_layer_freq", std::vector<int>(16, 2), "moe_layer_freq is [2",
           "an array of 16 numbers"},
          {"eos_token_id", 156895, "mask_token_id is absent", "another id than eos_token_id"},
      });
}

TEST_CASE("the architecture chooses the family, not the model type") {
  Json config = Dream7b();
  config["model_type"] = "llada";
  CHECK(ParseModelConfig(config.dump())->family == "dream");
  REQUIRE(LladaMoe()["model_type"] == "llada");
  config["architectures"] = Json::array({"Other", "DreamModel"});
  CHECK(ParseModelConfig(config.dump())->family == "dream");
}

}  // namespace
}  // namespace sparsed::engine
