// Who takes part in which step, in the server's loop.
#include <algorithm>

#include "tests/unit/server/step_loop_fixture.h"

namespace sparsed::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Behind 4 prompt tokens, so that a request's rows are its canvas and 4.
constexpr int32_t kShortCanvas = 32;
constexpr int32_t kShortSteps = 8;
constexpr int32_t kLongCanvas = 508;
constexpr int32_t kLongBlock = 508;

// A long step takes eight seconds, two short ones together 216 ms.
Duration ByRows(int64_t rows) { return milliseconds(rows + rows * rows / 36); }

// A long request, and beside it always two short ones that are not in the same step.
class PolicyFixture : public LoopFixture {
 public:
  PolicyFixture() { step_time = ByRows; }

  void Play(int32_t long_steps) {
    long_sink = std::make_shared<RecordingSink>();
    Ticket ticket = MakeTicket(*tiny.engine, long_sink, kLongCanvas, long_steps, 1);
    ticket.valid.request.sampling.block_length = kLongBlock;
    REQUIRE_FALSE(Push(std::move(ticket)).has_value());
    on_step = [this, long_steps](int) {
      if (queue->closed()) return;
      const engine::Sequence* sequence = tiny.engine->Find(1);
      REQUIRE(sequence != nullptr);
      if (sequence->next_step == long_steps - 1) {
        queue->Close(Draining());
      } else if (shorts.size() < 2 || shorts[shorts.size() - 2]->ends > 0) {
        shorts.push_back(PushPlain(kShortCanvas, kShortSteps, 2));
      }
    };
    REQUIRE(loop->Run().ok());
    CHECK(EngineEmpty());
  }

  std::vector<double> ShortSeconds() const {
    std::vector<double> all;
    for (const auto& sink : shorts) all.push_back(sink->stats.total_seconds);
    std::sort(all.begin(), all.end());
    return all;
  }

  std::shared_ptr<RecordingSink> long_sink;
  std::vector<std::shared_ptr<RecordingSink>> shorts;
};

}  // namespace

TEST_CASE_METHOD(PolicyFixture, "loop: a long request does not hold up the short ones") {
  Build();
  Play(20);
  const double long_step = Seconds(ByRows(kLongCanvas + 4));
  const double two_short = Seconds(ByRows(2 * (kShortCanvas + 4)));
  const std::vector<double> seconds = ShortSeconds();
  REQUIRE(seconds.size() > 150);
  // Of eight steps at most one is a long one, for most of them none is.
  CHECK(seconds.back() < 2.1 * long_step);
  CHECK(seconds[seconds.size() / 2] < 1.1 * kShortSteps * two_short);
  // The long one's share of the time is a quarter by cost and a quarter besides.
  CHECK(long_sink->result.has_value());
  CHECK(long_sink->stats.run_seconds < 20 * long_step / 0.4);
  CHECK(metrics.Text().find("\nsparsed_steps_sat_out_total 0\n") == std::string::npos);
}

TEST_CASE_METHOD(PolicyFixture, "loop: with a share of one all step together") {
  cost_share = 1;
  Build();
  Play(20);
  const std::vector<double> seconds = ShortSeconds();
  REQUIRE_FALSE(seconds.empty());
  CHECK(seconds.back() > (kShortSteps - 1) * Seconds(ByRows(kLongCanvas + 4)));
  CHECK(long_sink->result.has_value());
  CHECK(metrics.Text().find("\nsparsed_steps_sat_out_total 0\n") != std::string::npos);
}

TEST_CASE_METHOD(PolicyFixture, "loop: sitting out steps changes no token") {
  Build();
  Play(6);
  const auto beside = long_sink;
  const std::string beside_short = shorts.front()->result->text();

  LoopFixture alone;
  alone.Build();
  auto sink = std::make_shared<RecordingSink>();
  Ticket ticket = MakeTicket(*alone.tiny.engine, sink, kLongCanvas, 6, 1);
  ticket.valid.request.sampling.block_length = kLongBlock;
  REQUIRE_FALSE(alone.Push(std::move(ticket)).has_value());
  const auto short_sink = alone.PushPlain(kShortCanvas, kShortSteps, 2);
  REQUIRE(alone.Run().ok());
  REQUIRE(sink->result.has_value());
  CHECK(sink->result->token_ids().size() == static_cast<int>(kLongCanvas));
  CHECK(std::equal(sink->result->token_ids().begin(), sink->result->token_ids().end(),
                   beside->result->token_ids().begin()));
  CHECK(short_sink->result->text() == beside_short);
  // Its times count the steps it took part in.
  CHECK(beside->result->usage().full_steps() == 6);
  CHECK(beside->result->timings().full().seconds() < beside->result->timings().total().seconds());
}

TEST_CASE_METHOD(PolicyFixture, "loop: more run than fit into a step, in turns") {
  Build({}, 64, {16, 100, 1 << 20, 400});
  std::vector<std::shared_ptr<RecordingSink>> sinks;
  for (int i = 0; i < 10; ++i) sinks.push_back(PushPlain(16, 8, i));
  int64_t most = 0;
  on_step = [&](int) { most = std::max(most, tiny.engine->running()); };
  REQUIRE(Run().ok());
  CHECK(most == 10);
  // Five of 20 rows in a step.
  CHECK(steps == 16);
  for (const auto& sink : sinks) CHECK(sink->result.has_value());
}

TEST_CASE_METHOD(PolicyFixture, "loop: one that could not end in time any more is not started") {
  Build({}, 64, {1, 2048, 1 << 20});
  const auto running = PushPlain(32, 8, 1);
  auto late = std::make_shared<RecordingSink>();
  Ticket ticket = MakeTicket(*tiny.engine, late, 32, 8, 2);
  ticket.deadline = clock.Now() + seconds(1);
  ticket.least_seconds = 0.6;
  REQUIRE_FALSE(Push(std::move(ticket)).has_value());
  REQUIRE(Run().ok());
  REQUIRE(late->failure.has_value());
  CHECK(late->failure->code() == grpc::StatusCode::DEADLINE_EXCEEDED);
  const auto info = DetailOf<google::rpc::ErrorInfo>(*late->failure);
  CHECK(info.reason() == "DEADLINE_TOO_SHORT");
  CHECK(info.metadata().at("least_seconds") == "0.600");
  CHECK(late->stats.queue_seconds < 1);
  CHECK(late->stats.steps == 0);
  CHECK(running->result.has_value());
}

TEST_CASE_METHOD(PolicyFixture, "loop: what the steps took is learned") {
  Build();
  PushPlain(32, 32, 1);
  REQUIRE(Run().ok());
  RequestWork work;
  work.full_steps = work.least_steps = work.least_full_steps = 10;
  work.full = {36, 36 * 36};
  CHECK(costs.ExpectedSeconds(work) == Approx(10 * 0.072).epsilon(1e-3));
  CHECK(costs.LeastSeconds(work) == Approx(10 * 0.072 * 0.8));
}

}  // namespace sparsed::server
