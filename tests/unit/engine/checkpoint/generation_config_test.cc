#include "engine/checkpoint/generation_config.h"

#include <string>

#include "tests/testing/catch.h"

namespace sparsed::engine {
namespace {

ModelInfo Info() {
  ModelInfo info;
  info.vocab_size = 100;
  info.mask_token_id = 7;
  return info;
}

GenerationConfig Parse(const std::string& json) {
  auto config = ParseGenerationConfig(json, Info());
  INFO(config.status().ToString());
  REQUIRE(config.ok());
  return *config;
}

TEST_CASE("what generation_config.json may say") {
  // As Dream's.
  const GenerationConfig config = Parse(
      R"({"_from_model_config": true, "alg": "entropy", "alg_temp": 0.5, "bos_token_id": 1,
          "eos_token_id": [2, 3], "eps": 0.001, "mask_token_id": null, "output_history": false,
          "steps": 512, "temperature": 0.2, "top_k": 50, "top_p": 0.95})");
  REQUIRE(config.end_token_ids == std::vector<int32_t>{2, 3});
  REQUIRE(config.temperature == 0.2f);
  REQUIRE(config.top_p == 0.95f);
  REQUIRE(config.top_k == 50);
  REQUIRE(config.steps == 512);
  REQUIRE(config.remasking == Remasking::kEntropy);
  REQUIRE(config.alg_temp == 0.5f);
  REQUIRE(Parse(R"({"eos_token_id": 9})").end_token_ids == std::vector<int32_t>{9});
}

TEST_CASE("what it leaves open stays open") {
  for (const std::string json :
       {"{}", R"({"alg_temp": null, "eos_token_id": null, "temperature": null, "top_p": null,
                  "top_k": null, "steps": null, "alg": null, "do_sample": null})",
        R"({"eos_token_id": [], "do_sample": false})"}) {
    INFO(json);
    const GenerationConfig config = Parse(json);
    REQUIRE(config.end_token_ids.empty());
    REQUIRE_FALSE(config.temperature.has_value());
    REQUIRE_FALSE(config.top_p.has_value());
    REQUIRE_FALSE(config.top_k.has_value());
    REQUIRE_FALSE(config.steps.has_value());
    REQUIRE_FALSE(config.alg_temp.has_value());
    REQUIRE_FALSE(config.remasking.has_value());
  }
}

TEST_CASE("a temperature counts only where tokens are sampled") {
  REQUIRE(Parse(R"({"do_sample": true, "temperature": 0.7})").temperature == 0.7f);
  REQUIRE(Parse(R"({"do_sample": false, "temperature": 0.7})").temperature == 0.0f);
}

TEST_CASE("what generation_config.json may not say") {
  const std::pair<const char*, const char*> cases[] = {
      {"", "not JSON"},
      {"[]", "not a JSON object"},
      {R"({"top_k": 1, "top_k": 2})", "key \"top_k\" appears twice"},
      {R"({"eos_token_id": 7})", "eos_token_id is 7; supported: ids from 0 to 99 other than 7"},
      {R"({"eos_token_id": 100})", "eos_token_id is 100"},
      {R"({"eos_token_id": -1})", "eos_token_id is -1"},
      {R"({"eos_token_id": "2"})", "eos_token_id is \"2\""},
      {R"({"eos_token_id": [2, 2.5]})", "eos_token_id is [2,2.5]"},
      {R"({"eos_token_id": [2, null]})", "eos_token_id is [2,null]"},
      {R"({"eos_token_id": 18446744073709551615})", "eos_token_id is 18446744073709551615"},
      {R"({"temperature": -0.1})", "temperature is -0.1; supported: a number from 0 to 100"},
      {R"({"temperature": 101})", "temperature is 101"},
      {R"({"temperature": "0"})", "temperature is \"0\""},
      {R"({"top_p": 0})", "top_p is 0; supported: a number above 0 and up to 1"},
      {R"({"top_p": 1.5})", "top_p is 1.5"},
      {R"({"top_k": -1})", "top_k is -1; supported: an integer from 0"},
      {R"({"top_k": 1.5})", "top_k is 1.5"},
      {R"({"steps": 0})", "steps is 0; supported: an integer from 1"},
      {R"({"steps": 4294967296})", "steps is 4294967296"},
      {R"({"alg": 1})", "alg is 1; supported: origin, maskgit_plus, topk_margin, entropy, null"},
      {R"({"alg": "low_confidence"})", "alg is \"low_confidence\"; supported: origin"},
      {R"({"alg_temp": -1})", "alg_temp is -1"},
      {R"({"do_sample": 1})", "do_sample is 1; supported: true, false, null"}};
  for (const auto& [json, problem] : cases) {
    INFO(json);
    const auto config = ParseGenerationConfig(json, Info());
    REQUIRE(config.status().code() == absl::StatusCode::kInvalidArgument);
    INFO(config.status().ToString());
    REQUIRE(std::string(config.status().message()).find(problem) == 0);
  }
}

}  // namespace
}  // namespace sparsed::engine
