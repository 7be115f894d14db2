#include "server/heartbeat.h"

#include "server/server_state.h"
#include "tests/testing/catch.h"
#include "tests/unit/server/step_loop_fixture.h"

namespace sparsed::server {
namespace {

constexpr std::chrono::seconds kBase(10);

TimePoint SecondOf(int second) { return TimePoint(std::chrono::seconds(second)); }

}  // namespace

TEST_CASE("heartbeat: the limit grows with the rows and with the longest step") {
  CHECK(StallLimit(kBase, 0, {}) == kBase);
  CHECK(StallLimit(kBase, 1, {}) == kBase);
  CHECK(StallLimit(kBase, 4096, {}) == kBase);
  CHECK(StallLimit(kBase, 4097, {}) == 2 * kBase);
  CHECK(StallLimit(kBase, 65536, {}) == 16 * kBase);
  CHECK(StallLimit(kBase, 1, std::chrono::seconds(2)) == kBase);
  CHECK(StallLimit(kBase, 1, std::chrono::seconds(30)) == std::chrono::seconds(120));
}

TEST_CASE("heartbeat: an idle loop is never stalled, a step that lasts is until it ends") {
  Heartbeat heart;
  CHECK_FALSE(heart.Stalled(SecondOf(100000), kBase));
  heart.StepBegins(SecondOf(100000), 100);
  CHECK_FALSE(heart.Stalled(SecondOf(100010), kBase));
  CHECK(heart.Stalled(SecondOf(100011), kBase));
  heart.StepEnded(SecondOf(100012));
  CHECK_FALSE(heart.Stalled(SecondOf(200000), kBase));
  // Having seen a step of 12 seconds it takes 48 for possible.
  heart.StepBegins(SecondOf(200000), 100);
  CHECK_FALSE(heart.Stalled(SecondOf(200048), kBase));
  CHECK(heart.Stalled(SecondOf(200049), kBase));
}

TEST_CASE("heartbeat: a pause of the process is no part of the step that it falls into") {
  Heartbeat heart;
  heart.PauseEnded(SecondOf(50));
  CHECK_FALSE(heart.Stalled(SecondOf(1000), kBase));
  heart.StepBegins(SecondOf(1000), 100);
  heart.PauseEnded(SecondOf(1100));
  CHECK_FALSE(heart.Stalled(SecondOf(1110), kBase));
  CHECK(heart.Stalled(SecondOf(1111), kBase));
  heart.StepEnded(SecondOf(1101));
  // Nor does it make longer steps possible.
  heart.StepBegins(SecondOf(2000), 100);
  CHECK(heart.Stalled(SecondOf(2011), kBase));
}

TEST_CASE("heartbeat: the step loop beats around its steps") {
  LoopFixture fixture;
  fixture.Build();
  int stalled = 0;
  // A forward pass takes a second of the fixture's clock, the third one eleven.
  fixture.on_step = [&](int step) {
    if (step == 2) fixture.clock.Advance(std::chrono::seconds(10));
    if (fixture.loop->heartbeat().Stalled(fixture.clock.Now(), kBase)) ++stalled;
  };
  const auto sink = fixture.PushPlain(32, 4);
  REQUIRE(fixture.Run().ok());
  CHECK(sink->result.has_value());
  CHECK(stalled == 1);
  fixture.clock.Advance(std::chrono::seconds(1000));
  CHECK_FALSE(fixture.loop->heartbeat().Stalled(fixture.clock.Now(), kBase));
}

TEST_CASE("heartbeat: a stalled server is not ready, and is again when it recovers") {
  ServerState state;
  std::vector<bool> seen;
  state.OnChange([&seen](bool ready) { seen.push_back(ready); });
  const ServedModel model;
  state.SetServing(&model);
  state.SetStalled(true);
  CHECK_FALSE(state.ready());
  state.SetStalled(true);
  state.SetStalled(false);
  CHECK(state.ready());
  state.Stop(Phase::kDraining);
  state.SetStalled(true);
  state.SetStalled(false);
  CHECK_FALSE(state.ready());
  CHECK(seen == std::vector<bool>{true, false, true, false, false, false});
}

}  // namespace sparsed::server
