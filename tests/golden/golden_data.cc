#include "tests/golden/golden_data.h"

#include <nlohmann/json.hpp>

#include "engine/model_folder.h"
#include "tests/golden/gzip_file.h"
#include "tests/testing/catch.h"

namespace sparsed::testing {
namespace {

constexpr int32_t kMaskTokenId = 5;

GoldenRun ParseRun(const nlohmann::json& json) {
  GoldenRun run;
  run.steps = json["steps"];
  run.sparse = json["setting"][0] == "sparsed";
  run.trajectory = json["trajectory"];
  run.output_ids = json["output_ids"].get<std::vector<int32_t>>();
  REQUIRE(json["skip"] == 0.2);
  REQUIRE(json["end"] == "ref");
  REQUIRE(json["scale"] == "head_dim");
  if (run.sparse) {
    REQUIRE(json["setting"][1] == 0.3);
    run.block_size = json["block_size"];
    run.block_mask = json["block_mask"];
  }
  return run;
}

GoldenCase ParseCase(const nlohmann::json& json) {
  GoldenCase golden;
  golden.task = json["task"];
  golden.prompt_ids = json["prompt_ids"].get<std::vector<int32_t>>();
  golden.gen_length = json["gen_length"];
  golden.block_length = json["block_length"];
  const nlohmann::json& first_step = json["first_step_top32"];
  golden.top_ids = first_step["ids"];
  golden.top_logits = first_step["logits"];
  golden.logsumexp = first_step["logsumexp"].get<std::vector<float>>();
  for (const nlohmann::json& run : json["runs"]) golden.runs.push_back(ParseRun(run));
  return golden;
}

}  // namespace

std::string RepositoryPath(const std::string& relative) {
  return std::string(SPARSED_SOURCE_DIR) + "/" + relative;
}

std::vector<GoldenCase> ReadGoldenCases() {
  const nlohmann::json json =
      nlohmann::json::parse(ReadGzipFile(RepositoryPath("tests/golden/nano/golden.json.gz")));
  REQUIRE(json["mask_id"] == kMaskTokenId);
  std::vector<GoldenCase> cases;
  for (const nlohmann::json& golden : json["cases"]) cases.push_back(ParseCase(golden));
  return cases;
}

engine::Request RequestFor(const std::vector<int32_t>& prompt_ids, int32_t gen_length,
                           int32_t steps, bool sparse) {
  engine::Request request = engine::MakeRequest(prompt_ids, gen_length, kMaskTokenId);
  request.sampling.steps = steps;
  request.sampling.block_length = 32;
  request.sampling.stop_at_end = false;
  request.sparse.mode = sparse ? engine::SparseMode::kSparseD : engine::SparseMode::kOff;
  request.sparse.select = 0.3;
  return request;
}

std::unique_ptr<engine::Engine> MakeNanoEngine(int64_t max_batch_tokens, Recording* recording) {
  auto cpu = kernels::CreateBackend({"cpu", 0});
  REQUIRE(cpu.ok());
  return MakeNanoEngine(std::move(cpu).value(), max_batch_tokens, recording);
}

std::unique_ptr<engine::Engine> MakeNanoEngine(std::unique_ptr<kernels::Backend> backend,
                                               int64_t max_batch_tokens, Recording* recording) {
  if (recording != nullptr) {
    backend = std::make_unique<RecordingBackend>(std::move(backend), recording);
  }
  auto folder = engine::LoadModelFolder(RepositoryPath("deploy/models/nano"), *backend, {});
  INFO(folder.status().ToString());
  REQUIRE(folder.ok());
  REQUIRE(folder->model->info().mask_token_id == kMaskTokenId);
  engine::EngineOptions options;
  options.max_batch_tokens = max_batch_tokens;
  auto made = engine::Engine::Create(std::move(backend), std::move(folder->model), options);
  REQUIRE(made.ok());
  return std::move(made).value();
}

}  // namespace sparsed::testing
