#include "engine/model_folder.h"

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "tests/testing/catch.h"
#include "tests/testing/fake_backend.h"

namespace sparsed::engine {
namespace {

namespace fs = std::filesystem;

const fs::path kNano = fs::path(SPARSED_SOURCE_DIR) / "deploy/models/nano";

// A folder with nano's files, its config changed by replacing `from` by `to`.
class ChangedNano {
 public:
  ChangedNano(const std::string& from, const std::string& to) {
    std::string pattern = (fs::temp_directory_path() / "sparsed-model-XXXXXX").string();
    REQUIRE(mkdtemp(pattern.data()) != nullptr);
    dir_ = pattern;
    for (const auto& entry : fs::directory_iterator(kNano)) {
      if (entry.is_regular_file()) fs::copy_file(entry.path(), dir_ / entry.path().filename());
    }
    std::ifstream in(kNano / "config.json");
    std::stringstream text;
    text << in.rdbuf();
    std::string config = text.str();
    const size_t at = config.find(from);
    REQUIRE(at != std::string::npos);
    std::ofstream(dir_ / "config.json") << config.replace(at, from.size(), to);
  }
  ~ChangedNano() { fs::remove_all(dir_); }

  std::string dir() const { return dir_.string(); }

 private:
  fs::path dir_;
};

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
  auto folder = LoadModelFolder(kNano.string(), backend, [&progress](int done, int total) {
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
  const ChangedNano more(R"("n_layers": 8)", R"("n_layers": 9)");
  std::string error = LoadError(more.dir());
  REQUIRE(error.find("9 tensors are missing") != std::string::npos);
  REQUIRE(error.find("model.transformer.blocks.8.attn_norm.weight") != std::string::npos);
  REQUIRE(error.find(more.dir()) != std::string::npos);

  const ChangedNano fewer(R"("n_layers": 8)", R"("n_layers": 7)");
  error = LoadError(fewer.dir());
  REQUIRE(error.find("9 tensors are not part of the model") != std::string::npos);
  REQUIRE(error.find("model.transformer.blocks.7.attn_norm.weight") != std::string::npos);
}

TEST_CASE("A tensor of another shape is named") {
  const ChangedNano wider(R"("mlp_hidden_size": 1024)", R"("mlp_hidden_size": 1025)");
  REQUIRE(LoadError(wider.dir()).find("ff_proj") != std::string::npos);
}

TEST_CASE("A vocabulary smaller than the tokenizer's is refused") {
  const ChangedNano smaller(R"("embedding_size": 4096)", R"("embedding_size": 4000)");
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

}  // namespace sparsed::engine
