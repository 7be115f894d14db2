// What the CUDA backend counts as its own is what the card has lost. Without a device, or with too
// small a one, there is nothing to run on and the case says so.
#include <algorithm>
#include <cmath>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/engine.h"
#include "engine/model_folder.h"
#include "tests/testing/catch.h"

namespace sparsed::engine {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr int64_t kContext = 131072;

Request MakeLongRequest(int32_t tokens, const ModelInfo& model) {
  Request request = MakeRequest(std::vector<int32_t>(tokens - 32, 7), 32, model.mask_token_id);
  request.sampling.steps = 16;
  request.sampling.block_length = 32;
  request.sparse.mode = SparseMode::kSparseD;
  request.sparse.skip = 0;
  return request;
}

std::unique_ptr<Engine> MakeEngine(const std::string& shape, int64_t max_batch_tokens,
                                   std::unique_ptr<kernels::Backend> backend) {
  auto model = MakeSyntheticModel(shape, 1, *backend);
  INFO(model.status().ToString());
  REQUIRE(model.ok());
  EngineOptions options;
  options.max_batch_tokens = max_batch_tokens;
  auto engine = Engine::Create(std::move(backend), std::move(*model), options);
  INFO(engine.status().ToString());
  REQUIRE(engine.ok());
  return std::move(*engine);
}

// A full, a selecting and a sparse step.
void RunSteps(Engine& engine, int32_t tokens) {
  const SequenceId id = engine.Start(MakeLongRequest(tokens, engine.model_info())).value();
  for (int step = 0; step < 3; ++step) REQUIRE(engine.Step().ok());
  REQUIRE(engine.Find(id)->counts.sparse == 1);
  engine.Remove(id);
}

}  // namespace

TEST_CASE("An 8B model with 128k tokens takes the memory that the backend says it takes") {
  auto backend = kernels::CreateBackend({"cuda", 0});
  if (!backend.ok()) {
    WARN(std::string(backend.status().message()));
    return;
  }
  // A warm context: the library and the kernels have been used.
  RunSteps(*MakeEngine("nano", 8192, std::move(*backend)), 2048);
  backend = kernels::CreateBackend({"cuda", 0});
  REQUIRE(backend.ok());
  const kernels::BackendInfo before = (*backend)->Info();
  if (before.memory_free_bytes < 32 * 1024 * kMiB) {
    WARN("too little free memory");
    return;
  }
  auto engine = MakeEngine("llada-8b", kContext, std::move(*backend));
  RunSteps(*engine, 4096);
  REQUIRE(engine->Start(MakeLongRequest(kContext, engine->model_info())).ok());
  const kernels::BackendInfo after = engine->backend_info();
  const auto counted = static_cast<double>(after.allocated_bytes - before.allocated_bytes);
  const auto taken =
      static_cast<double>(before.memory_free_bytes) - static_cast<double>(after.memory_free_bytes);
  std::cout << "counted " << counted / kMiB << " MiB, taken " << taken / kMiB << " MiB\n";
  REQUIRE(std::abs(taken - counted) <= std::max(0.03 * counted, 64.0 * kMiB));
}

}  // namespace sparsed::engine
