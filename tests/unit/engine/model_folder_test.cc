#include "engine/model_folder.h"

#include <string>
#include <utility>
#include <vector>

#include "tests/testing/catch.h"
#include "tests/testing/fake_backend.h"
#include "tests/unit/engine/nano_folder.h"

namespace sparsed::engine {
namespace {

using testing::NanoFolder;

std::string LoadError(const std::string& dir) {
  testing::FakeBackend backend;
  const auto folder = LoadModelFolder(dir, backend, {});
  REQUIRE_FALSE(folder.ok());
  INFO(folder.status().ToString());
  REQUIRE(folder.status().code() == absl::StatusCode::kInvalidArgument);
  REQUIRE(backend.Info().allocated_bytes == 0);
  return std::string(folder.status().message());
}

}  // namespace

TEST_CASE("nano loads with its tokenizer and template; progress counts every tensor") {
  testing::FakeBackend backend;
  std::vector<std::pair<int, int>> progress;
  auto folder = LoadModelFolder(testing::NanoPath(), backend, [&progress](int done, int total) {
    progress.emplace_back(done, total);
  });
  INFO(folder.status().ToString());
  REQUIRE(folder.ok());
  const ModelInfo& info = folder->model->info();
  REQUIRE(info.num_layers == 8);
  REQUIRE(info.mask_token_id == 5);
  REQUIRE(info.end_token_ids == std::vector<int32_t>{1, 4});  // <|endoftext|>, <|eot_id|>
  REQUIRE(info.parameters == 17308032);
  REQUIRE(folder->tokenizer != nullptr);
  REQUIRE(folder->chat_template != nullptr);
  REQUIRE(progress.size() == 8 * 9 + 3);
  for (size_t i = 0; i < progress.size(); ++i) {
    REQUIRE(progress[i] == std::pair<int, int>(static_cast<int>(i) + 1, 8 * 9 + 3));
  }
}

TEST_CASE("Tensors that are missing or too many are named") {
  const NanoFolder more("config.json", R"("n_layers": 8)", R"("n_layers": 9)");
  std::string error = LoadError(more.dir());
  REQUIRE(error.find("9 tensors are missing") != std::string::npos);
  REQUIRE(error.find("model.transformer.blocks.8.attn_norm.weight") != std::string::npos);
  REQUIRE(error.find(more.dir()) != std::string::npos);

  const NanoFolder fewer("config.json", R"("n_layers": 8)", R"("n_layers": 7)");
  error = LoadError(fewer.dir());
  REQUIRE(error.find("9 tensors are not part of the model") != std::string::npos);
  REQUIRE(error.find("model.transformer.blocks.7.attn_norm.weight") != std::string::npos);
}

TEST_CASE("A tensor of another shape is named") {
  const NanoFolder wider("config.json", R"("mlp_hidden_size": 1024)", R"("mlp_hidden_size": 1025)");
  REQUIRE(LoadError(wider.dir()).find("ff_proj") != std::string::npos);
}

TEST_CASE("A vocabulary smaller than the tokenizer's is refused") {
  const NanoFolder smaller("config.json", R"("embedding_size": 4096)", R"("embedding_size": 4000)");
  REQUIRE_FALSE(LoadError(smaller.dir()).empty());
}

TEST_CASE("A model with experts is refused where the backend has none") {
  testing::FakeBackendOptions options;
  options.has_experts = false;
  testing::FakeBackend backend(options);
  const auto model = MakeSyntheticModel("tiny-llada-moe", 1, backend);
  REQUIRE(model.status().code() == absl::StatusCode::kFailedPrecondition);
  REQUIRE(
      model.status().message() ==
      "models of family llada-moe have layers with experts, which fake does not run; the device "
      "cpu does");
  REQUIRE(backend.calls() == 0);
  REQUIRE(MakeSyntheticModel("tiny-dream", 1, backend).ok());
}

TEST_CASE("generation_config.json adds end tokens and a default temperature") {
  const NanoFolder folder;
  folder.Write("generation_config.json", R"({"eos_token_id": [2, 1], "temperature": 0.25,
                "alg": "topk_margin", "top_p": 0.5})");
  testing::FakeBackend backend;
  const auto loaded = LoadModelFolder(folder.dir(), backend, {});
  REQUIRE(loaded.ok());
  const ModelInfo& info = loaded->model->info();
  REQUIRE(info.end_token_ids == std::vector<int32_t>{1, 4, 2});
  REQUIRE(info.defaults.temperature == 0.25f);
  REQUIRE(info.defaults.remasking == Remasking::kTopkMargin);
  REQUIRE(info.defaults.top_p == 0.5f);
  REQUIRE(info.defaults.top_k == 0);

  folder.Write("generation_config.json", R"({"eos_token_id": 5})");
  const std::string error = LoadError(folder.dir());
  REQUIRE(error.find(folder.dir() + "/generation_config.json: eos_token_id is 5") == 0);
}

}  // namespace sparsed::engine
