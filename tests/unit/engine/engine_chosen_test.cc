// Steps of some of the sequences only.
#include "tests/unit/engine/tiny_engine.h"

namespace sparsed::engine {
namespace {

std::vector<SequenceId> Stepped(Engine& engine, std::vector<SequenceId> chosen) {
  const auto steps = engine.Step(chosen);
  REQUIRE(steps.ok());
  std::vector<SequenceId> ids;
  for (const SequenceStep& step : *steps) ids.push_back(step.id);
  return ids;
}

FakeEngine MakeRoomyEngine(int64_t max_batch_tokens, int64_t max_running_tokens) {
  FakeEngine fake;
  auto backend = std::make_unique<testing::FakeBackend>();
  fake.backend = backend.get();
  auto model = MakeSyntheticModel("tiny", kTinySeed, *backend);
  REQUIRE(model.ok());
  auto engine = Engine::Create(std::move(backend), std::move(model).value(),
                               {max_batch_tokens, max_running_tokens});
  REQUIRE(engine.ok());
  fake.engine = std::move(engine).value();
  return fake;
}

}  // namespace

TEST_CASE("A step is of the chosen sequences; the others stay as they are") {
  FakeEngine fake = MakeTinyFakeEngine();
  Engine& engine = *fake.engine;
  std::vector<SequenceId> ids;
  for (int i = 0; i < 3; ++i) ids.push_back(engine.Start(MakeTinyRequest(8, 8, 8, 8)).value());
  CHECK(Stepped(engine, {ids[0], ids[2]}) == std::vector<SequenceId>{ids[0], ids[2]});
  CHECK(engine.Find(ids[0])->next_step == 1);
  CHECK(engine.Find(ids[1])->next_step == 0);
  CHECK(engine.Find(ids[2])->next_step == 1);
  CHECK(Stepped(engine, {ids[1]}) == std::vector<SequenceId>{ids[1]});
  CHECK(Stepped(engine, {}) == ids);
  // Unknown and finished ones do not step.
  CHECK(Stepped(engine, {ids[2] + 1}).empty());
  for (int i = 0; i < 6; ++i) CHECK(Stepped(engine, {ids[0]}).size() == 1);
  CHECK(Stepped(engine, {ids[0]}).empty());
}

TEST_CASE("More may be held than fits into one step") {
  FakeEngine fake = MakeRoomyEngine(64, 160);
  Engine& engine = *fake.engine;
  std::vector<SequenceId> ids;
  for (int i = 0; i < 4; ++i) ids.push_back(engine.Start(MakeTinyRequest(24, 16, 4, 16)).value());
  CHECK(engine.Start(MakeTinyRequest(1, 1, 1, 1)).status().code() ==
        absl::StatusCode::kResourceExhausted);
  CHECK(engine.batch_tokens() == 160);
  // All four are too many rows for the workspace: refused, and nothing has changed.
  CHECK(engine.Step().status().code() == absl::StatusCode::kInvalidArgument);
  for (const SequenceId id : ids) CHECK(engine.Find(id)->next_step == 0);
  CHECK(Stepped(engine, {ids[3]}).size() == 1);
  engine.Remove(ids[0]);
  // There is room among those held, but not in a step.
  CHECK(engine.Start(MakeTinyRequest(32, 40, 4, 40)).status().code() ==
        absl::StatusCode::kResourceExhausted);
}

}  // namespace sparsed::engine
