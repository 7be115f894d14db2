#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "engine/checkpoint/checkpoint.h"
#include "tests/testing/catch.h"
#include "tests/unit/engine/checkpoint/test_files.h"

namespace sparsed::engine {
namespace {

using Json = nlohmann::json;

// The published LLaDA-8B configuration.
Json Llada8b() {
  return Json::parse(R"({
    "architectures": ["LLaDAModelLM"], "model_type": "llada", "d_model": 4096, "n_heads": 32,
    "n_kv_heads": 32, "multi_query_attention": null, "n_layers": 32, "mlp_hidden_size": 12288,
    "mlp_ratio": 4, "activation_type": "silu", "block_type": "llama", "block_group_size": 1,
    "vocab_size": 126464, "embedding_size": 126464, "weight_tying": false, "include_bias": false,
    "include_qkv_bias": false, "bias_for_layer_norm": false, "layer_norm_type": "rms",
    "rms_norm_eps": 1e-5, "layer_norm_with_affine": true, "attention_layer_norm": false,
    "rope": true, "rope_theta": 500000.0, "rope_full_precision": true, "alibi": false,
    "scale_logits": false, "input_emb_norm": false, "max_sequence_length": 4096,
    "mask_token_id": 126336, "eos_token_id": 126081, "pad_token_id": 126081,
    "attention_dropout": 0.0, "flash_attention": false, "precision": "amp_bf16",
    "torch_dtype": "bfloat16", "use_cache": false, "transformers_version": "4.46.3"})");
}

// The 8B configuration with one key changed, or removed where there is no value.
absl::StatusOr<ModelInfo> With(const std::string& key, const std::optional<Json>& value) {
  Json config = Llada8b();
  config.erase(key);
  if (value.has_value()) config[key] = *value;
  return ParseModelConfig(config.dump());
}

void CheckRefused(const absl::StatusOr<ModelInfo>& info, const std::string& start,
                  const std::string& supported) {
  REQUIRE(!info.ok());
  const std::string message(info.status().message());
  INFO(message << " | wanted: " << start << "; supported: " << supported);
  CHECK(info.status().code() == absl::StatusCode::kInvalidArgument);
  CHECK(message.find(start) == 0);
  CHECK(message.find("; supported: " + supported) != std::string::npos);
}

TEST_CASE("the published configuration is read") {
  const auto info = ParseModelConfig(Llada8b().dump());
  REQUIRE(info.ok());
  CHECK(info->family == "llada");
  CHECK(info->num_layers == 32);
  CHECK(info->num_heads == 32);
  CHECK(info->num_kv_heads == 32);
  CHECK(info->head_dim == 128);
  CHECK(info->hidden_size == 4096);
  CHECK(info->ffn_size == 12288);
  CHECK(info->vocab_size == 126464);
  CHECK(info->max_tokens == 4096);
  CHECK(info->mask_token_id == 126336);
  CHECK(info->end_token_ids == std::vector<int32_t>{126081});
  CHECK(info->norm_eps == 1e-5f);
  CHECK(info->rope_theta == 500000.0f);
  CHECK(info->dtype == "bf16");
  CHECK(info->parameters == 0);
}

TEST_CASE("a null key takes the value that the other keys imply") {
  CHECK(With("n_kv_heads", nullptr)->num_kv_heads == 32);
  CHECK(With("n_kv_heads", std::nullopt)->num_kv_heads == 32);
  CHECK(With("n_kv_heads", 8)->num_kv_heads == 8);
  CHECK(With("mlp_hidden_size", nullptr)->ffn_size == 4 * 4096);
  CHECK(With("mlp_hidden_size", std::nullopt)->ffn_size == 4 * 4096);
  CHECK(With("embedding_size", nullptr)->vocab_size == 126464);
  CHECK(With("embedding_size", 126720)->vocab_size == 126720);
  CHECK(With("bias_for_layer_norm", nullptr).ok());
  CHECK(With("torch_dtype", std::nullopt)->dtype.empty());

  Json config = Llada8b();
  config["n_kv_heads"] = nullptr;
  config["multi_query_attention"] = true;
  CHECK(ParseModelConfig(config.dump())->num_kv_heads == 1);
  config["multi_query_attention"] = false;
  CHECK(ParseModelConfig(config.dump())->num_kv_heads == 32);
  config["n_kv_heads"] = 1;
  config["multi_query_attention"] = true;
  CHECK(ParseModelConfig(config.dump())->num_kv_heads == 1);
  config["n_kv_heads"] = 8;
  CheckRefused(ParseModelConfig(config.dump()), "n_kv_heads is 8",
               "1 with multi_query_attention true");
  config["multi_query_attention"] = false;
  CheckRefused(ParseModelConfig(config.dump()), "n_kv_heads is 8",
               "32 with multi_query_attention false");

  config = Llada8b();
  config["mlp_hidden_size"] = nullptr;
  config.erase("mlp_ratio");
  CheckRefused(ParseModelConfig(config.dump()), "mlp_ratio is absent", "an integer");
  config["mlp_ratio"] = 64;
  config["d_model"] = 65536;
  config["n_heads"] = 256;
  config["n_kv_heads"] = nullptr;
  CheckRefused(ParseModelConfig(config.dump()), "mlp_ratio is 64", "mlp_ratio x d_model up to");
}

TEST_CASE("every switch that is not implemented is refused with its value") {
  struct Case {
    const char* key;
    Json value;
    const char* start;
    const char* supported;
  };
  const std::vector<Case> cases = {
      {"architectures", Json::array({"LlamaForCausalLM"}),
       "architectures is [\"LlamaForCausalLM\"]",
       "[\"LLaDAModelLM\"] or [\"DreamModel\"] or [\"LLaDAMoEModelLM\"]"},
      {"architectures", Json::array(), "architectures is []", "[\"LLaDAModelLM\"]"},
      {"architectures", "LLaDAModelLM", "architectures is \"LLaDAModelLM\"", "["},
      {"architectures", nullptr, "architectures is null", "["},
      {"activation_type", "swiglu", "activation_type is \"swiglu\"", "\"silu\""},
      {"block_type", "sequential", "block_type is \"sequential\"", "\"llama\""},
      {"block_group_size", 2, "block_group_size is 2", "1"},
      {"weight_tying", true, "weight_tying is true", "false"},
      {"include_bias", true, "include_bias is true", "false"},
      {"include_qkv_bias", true, "include_qkv_bias is true", "false"},
      {"bias_for_layer_norm", true, "bias_for_layer_norm is true", "false"},
      {"layer_norm_type", "gemma_rms", "layer_norm_type is \"gemma_rms\"", "\"rms\""},
      {"layer_norm_type", "default", "layer_norm_type is \"default\"", "\"rms\""},
      {"layer_norm_with_affine", false, "layer_norm_with_affine is false", "true"},
      {"attention_layer_norm", true, "attention_layer_norm is true", "false"},
      {"rope", false, "rope is false", "true"},
      {"rope_full_precision", false, "rope_full_precision is false", "true"},
      {"alibi", true, "alibi is true", "false"},
      {"alibi", nullptr, "alibi is null", "false"},
      {"alibi", 0, "alibi is 0", "false"},
      {"alibi", "false", "alibi is \"false\"", "false"},
      {"scale_logits", true, "scale_logits is true", "false"},
      {"input_emb_norm", true, "input_emb_norm is true", "false"},
      {"multi_query_attention", 1, "multi_query_attention is 1", "true, false, null"},
      {"clip_qkv", 8.0, "clip_qkv is 8.0", "null"},
      {"rope_scaling", Json{{"factor", 4}}, "rope_scaling is {\"factor\":4}", "null"},
      {"quantization_config", Json{{"bits", 4}}, "quantization_config is {\"bits\":4}", "null"},
  };
  for (const Case& item : cases)
    CheckRefused(With(item.key, item.value), item.start, item.supported);
}

TEST_CASE("a switch may be absent only where the class default is the supported value") {
  for (const char* key : {"architectures", "activation_type", "block_type", "weight_tying",
                          "include_bias", "layer_norm_type", "rope"}) {
    CheckRefused(With(key, std::nullopt), std::string(key) + " is absent", "");
  }
  for (const char* key : {"alibi", "block_group_size", "include_qkv_bias", "bias_for_layer_norm",
                          "layer_norm_with_affine", "attention_layer_norm", "rope_full_precision",
                          "scale_logits", "input_emb_norm", "model_type", "pad_token_id"}) {
    INFO(key);
    CHECK(With(key, std::nullopt).ok());
  }
}

TEST_CASE("sizes outside their range are refused with the range") {
  struct Case {
    const char* key;
    Json value;
    const char* supported;
  };
  const std::vector<Case> cases = {
      {"d_model", 65537, "an integer from 1 to 65536"},
      {"n_heads", 1025, "an integer from 1 to 1024"},
      {"n_heads", 24, "a divisor of d_model 4096"},
      {"n_heads", 8, "a head dimension d_model / n_heads that is a multiple of 16 up to 256"},
      {"n_heads", 512, "a head dimension"},
      {"n_kv_heads", 0, "an integer from 1 to 32"},
      {"n_kv_heads", 64, "an integer from 1 to 32"},
      {"n_kv_heads", 12, "a divisor of n_heads 32"},
      {"n_layers", 1025, "an integer from 1 to 1024"},
      {"mlp_hidden_size", 1048577, "an integer from 1 to 1048576"},
      {"vocab_size", 1, "an integer from 2 to 4194304"},
      {"vocab_size", 4194305, "an integer from 2 to 4194304"},
      {"embedding_size", 126463, "an integer from 126464 to 4194304"},
      {"embedding_size", 4194305, "an integer from 126464 to 4194304"},
      {"max_sequence_length", 1048577, "an integer from 1 to 1048576"},
      {"mask_token_id", 126464, "an integer from 0 to 126463"},
      {"mask_token_id", 126081, "another id than eos_token_id"},
      {"eos_token_id", 126464, "an integer from 0 to 126463"},
      {"rms_norm_eps", 0.0, "a number above 0 and up to 1"},
      {"rms_norm_eps", -1e-5, "a number above 0 and up to 1"},
      {"rms_norm_eps", 1e-60, "a number above 0 and up to 1"},
      {"rms_norm_eps", 2, "a number above 0 and up to 1"},
      {"rope_theta", 1.0, "a number above 1"},
      {"rope_theta", 1e300, "a number above 1"},
      {"rope_theta", "1e4", "a number above 1"},
  };
  for (const Case& item : cases) {
    CheckRefused(With(item.key, item.value), std::string(item.key) + " is " + item.value.dump(),
                 item.supported);
  }
  for (const char* key : {"d_model", "n_heads", "n_layers", "vocab_size", "max_sequence_length",
                          "mask_token_id", "eos_token_id"}) {
    for (const Json& value :
         {Json(-1), Json(1.5), Json("4"), Json(true), Json(nullptr), Json(Json::array({4})),
          Json(4294967297u * 4096u), Json(18446744073709551615u)}) {
      CheckRefused(With(key, value), std::string(key) + " is " + value.dump(), "an integer from");
    }
    CheckRefused(With(key, std::nullopt), std::string(key) + " is absent", "an integer from");
  }
}

TEST_CASE("text that is not a JSON object is refused") {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "not JSON"},
      {"{", "not JSON"},
      {"{}", "architectures is absent"},
      {"[]", "not a JSON object"},
      {"3", "not a JSON object"},
      {"{\"\xff\":1}", "not UTF-8"},
      {"{\"rope\":true,\"rope\":false}", "key \"rope\" appears twice"},
      {std::string(100000, '['), "nested deeper than 64"},
  };
  for (const auto& [text, reason] : cases) {
    const auto info = ParseModelConfig(text);
    REQUIRE(!info.ok());
    const std::string message(info.status().message());
    INFO(message);
    CHECK(info.status().code() == absl::StatusCode::kInvalidArgument);
    CHECK(message.find(reason) != std::string::npos);
  }
}

TEST_CASE("an error of a config file names the file") {
  const testing::TempFolder folder;
  const std::string path = folder.path() + "/config.json";
  const auto message = [&] {
    return std::string(ReadModelConfig(folder.path()).status().message());
  };
  CHECK(message() == path + ": no such file");
  folder.Write("config.json", "{}");
  CHECK(message() == path +
                         ": architectures is absent; supported: [\"LLaDAModelLM\"] or "
                         "[\"DreamModel\"] or [\"LLaDAMoEModelLM\"]");
  folder.Write("config.json", Llada8b().dump());
  CHECK(ReadModelConfig(folder.path()).ok());
  folder.Write("config.json", std::string((1 << 20) + 1, ' '));
  CHECK(message() == path + ": 1048577 bytes; at most 1048576 are read");
  std::filesystem::remove(path);
  std::filesystem::create_directory(path);
  CHECK(message() == path + ": not a regular file");
}

}  // namespace
}  // namespace sparsed::engine
