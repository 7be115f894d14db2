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

TEST_CASE("the architecture chooses the family, not the model type") {
  Json config = Dream7b();
  config["model_type"] = "llada";
  CHECK(ParseModelConfig(config.dump())->family == "dream");
  config["architectures"] = Json::array({"Other", "DreamModel"});
  CHECK(ParseModelConfig(config.dump())->family == "dream");
}

}  // namespace
}  // namespace sparsed::engine
