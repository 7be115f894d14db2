// The samplers step by step: after every step the canvas is that of the published rules in
// make_trajectories.py, for every rule at temperature 0, with either family's rules on every model.
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/golden/family_engine.h"
#include "tests/golden/gzip_file.h"
#include "tests/testing/catch.h"

namespace sparsed::testing {
namespace {

engine::Remasking RuleOf(const std::string& name) {
  if (name == "low_confidence") return engine::Remasking::kLowConfidence;
  if (name == "maskgit_plus") return engine::Remasking::kMaskgitPlus;
  if (name == "topk_margin") return engine::Remasking::kTopkMargin;
  REQUIRE(name == "entropy");
  return engine::Remasking::kEntropy;
}

engine::Request RequestOf(const nlohmann::json& run) {
  engine::Request request;
  request.ids = run["ids"].get<std::vector<int32_t>>();
  request.canvas = run["canvas"].get<std::vector<int32_t>>();
  engine::SamplingParams& sampling = request.sampling;
  sampling.remasking = RuleOf(run["rule"].get<std::string>());
  sampling.steps = run["steps"].get<int32_t>();
  sampling.block_length = run.value("block_length", static_cast<int32_t>(request.canvas.size()));
  sampling.cfg_scale = run.value("cfg_scale", 0.0f);
  sampling.top_p = run.value("top_p", 1.0f);
  sampling.top_k = run.value("top_k", 0);
  sampling.logits_eos_inf = run.value("logits_eos_inf", false);
  sampling.confidence_eos_eot_inf = run.value("confidence_eos_eot_inf", false);
  sampling.stop_at_end = false;
  request.sparse.mode = engine::SparseMode::kOff;
  return request;
}

std::vector<int32_t> Canvas(const engine::Sequence& sequence) {
  std::vector<int32_t> canvas;
  for (const int32_t position : sequence.request.canvas) canvas.push_back(sequence.ids[position]);
  return canvas;
}

}  // namespace

TEST_CASE("Every sampler's trajectory is its reference's") {
  const std::string name = GENERATE("llada-grouped", "dream", "llada-moe");
  CAPTURE(name);
  const std::string folder = FamilyFolder(name);
  auto engine = LoadFamily(folder);
  const auto golden = nlohmann::json::parse(ReadGzipFile(folder + "/trajectories.json.gz"));
  REQUIRE(golden["runs"].size() == 11);
  for (const nlohmann::json& run : golden["runs"]) {
    nlohmann::json options = run;
    options.erase("canvases");
    CAPTURE(options.dump());
    const auto id = engine->Start(RequestOf(run));
    REQUIRE(id.ok());
    const auto canvases = run["canvases"].get<std::vector<std::vector<int32_t>>>();
    REQUIRE(canvases.size() == run["steps"].get<size_t>());
    for (size_t step = 0; step < canvases.size(); ++step) {
      CAPTURE(step);
      REQUIRE(engine->Step().ok());
      REQUIRE(Canvas(*engine->Find(*id)) == canvases[step]);
    }
    REQUIRE(engine->Find(*id)->finished);
    engine->Remove(*id);
  }
}

}  // namespace sparsed::testing
