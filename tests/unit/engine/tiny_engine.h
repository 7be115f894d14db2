// Engines on the tiny synthetic model, and the requests that the tests put to them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/engine.h"
#include "engine/model_folder.h"
#include "kernels/backend.h"
#include "tests/testing/catch.h"
#include "tests/testing/fake_backend.h"

namespace sparsed::engine {

constexpr uint64_t kTinySeed = 7;

inline std::unique_ptr<Engine> MakeTinyEngine(std::unique_ptr<kernels::Backend> backend,
                                              int64_t max_batch_tokens = 8192,
                                              const std::string& shape = "tiny") {
  auto model = MakeSyntheticModel(shape, kTinySeed, *backend);
  REQUIRE(model.ok());
  EngineOptions options;
  options.max_batch_tokens = max_batch_tokens;
  options.time_parts = true;
  auto engine = Engine::Create(std::move(backend), std::move(model).value(), options);
  REQUIRE(engine.ok());
  return std::move(engine).value();
}

inline std::unique_ptr<Engine> MakeTinyCpuEngine(
    int threads, const std::string& shape = "tiny",
    kernels::WeightType weights = kernels::WeightType::kFull) {
  kernels::BackendOptions options;
  options.device = "cpu";
  options.threads = threads;
  options.weights = weights;
  auto backend = kernels::CreateBackend(options);
  REQUIRE(backend.ok());
  return MakeTinyEngine(std::move(backend).value(), 8192, shape);
}

struct FakeEngine {
  testing::FakeBackend* backend = nullptr;  // owned by the engine
  std::unique_ptr<Engine> engine;
};

inline FakeEngine MakeTinyFakeEngine(testing::FakeBackendOptions options = {},
                                     int64_t max_batch_tokens = 8192) {
  auto backend = std::make_unique<testing::FakeBackend>(std::move(options));
  FakeEngine fake;
  fake.backend = backend.get();
  fake.engine = MakeTinyEngine(std::move(backend), max_batch_tokens);
  return fake;
}

// A request of ids that are neither the mask token nor an end token.
inline Request MakeTinyRequest(int32_t prompt_tokens, int32_t gen_length, int32_t steps,
                               int32_t block_length) {
  std::vector<int32_t> prompt;
  for (int32_t i = 0; i < prompt_tokens; ++i) prompt.push_back(6 + (i * 37 + 11) % 120);
  Request request = MakeRequest(prompt, gen_length, 5);
  request.sampling.steps = steps;
  request.sampling.block_length = block_length;
  request.sampling.stop_at_end = false;
  return request;
}

// Everything that a finished request gives.
struct Outcome {
  std::vector<int32_t> canvas;
  std::vector<float> confidences;
  std::vector<int32_t> commit_steps;
  double density = 0;
  std::vector<float> log_probabilities;

  bool operator==(const Outcome&) const = default;
};

inline Outcome OutcomeOf(const Engine& engine, SequenceId id) {
  const Sequence* sequence = engine.Find(id);
  REQUIRE(sequence != nullptr);
  REQUIRE(sequence->finished);
  return {sequence->CanvasIds(engine.model_info()), sequence->confidences, sequence->commit_steps,
          sequence->density, sequence->log_probabilities};
}

inline Outcome RunAlone(Engine& engine, const Request& request) {
  auto id = engine.Start(request);
  REQUIRE(id.ok());
  while (!engine.Find(*id)->finished) {
    auto steps = engine.Step();
    REQUIRE(steps.ok());
    REQUIRE(steps->front().error.ok());
  }
  const Outcome outcome = OutcomeOf(engine, *id);
  engine.Remove(*id);
  return outcome;
}

// All of the requests in one batch; outcomes in their order.
inline std::vector<Outcome> RunBatch(Engine& engine, const std::vector<Request>& requests) {
  std::vector<SequenceId> ids;
  for (const Request& request : requests) ids.push_back(engine.Start(request).value());
  const auto unfinished = [&](SequenceId id) { return !engine.Find(id)->finished; };
  while (std::any_of(ids.begin(), ids.end(), unfinished)) REQUIRE(engine.Step().ok());
  std::vector<Outcome> outcomes;
  for (const SequenceId id : ids) {
    outcomes.push_back(OutcomeOf(engine, id));
    engine.Remove(id);
  }
  return outcomes;
}

}  // namespace sparsed::engine
