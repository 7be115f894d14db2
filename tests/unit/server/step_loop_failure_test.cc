#include "tests/unit/server/step_loop_fixture.h"

namespace sparsed::server {
namespace {

using std::chrono::seconds;

std::string ReasonOf(const RecordingSink& sink) {
  REQUIRE(sink.failure.has_value());
  return DetailOf<google::rpc::ErrorInfo>(*sink.failure).reason();
}

grpc::StatusCode CodeOf(const RecordingSink& sink) {
  CHECK(sink.ends == 1);
  return sink.failure ? sink.failure->code() : grpc::StatusCode::OK;
}

}  // namespace

TEST_CASE_METHOD(LoopFixture, "loop: cancelled in the queue, a request never reaches the engine") {
  Build();
  const auto sink = PushPlain();
  sink->Cancel();
  REQUIRE(Run().ok());
  CHECK(CodeOf(*sink) == grpc::StatusCode::CANCELLED);
  CHECK(steps == 0);
  CHECK(EngineEmpty());
}

TEST_CASE_METHOD(LoopFixture, "loop: cancelled while a step runs, a request takes no further one") {
  Build();
  const int cancel_in = GENERATE(0, 1, 17, 30);
  const auto sink = PushPlain();
  const auto other = PushPlain(32, 32, 2);
  int64_t held_after = -1;
  on_step = [&](int step) {
    if (step == cancel_in) sink->Cancel();
    if (step == cancel_in + 1) held_after = tiny.engine->running();
  };
  REQUIRE(Run().ok());
  CHECK(CodeOf(*sink) == grpc::StatusCode::CANCELLED);
  CHECK(sink->stats.steps == cancel_in + 1);
  // It was gone before the next step began.
  CHECK(held_after == 1);
  CHECK(other->result.has_value());
  CHECK(EngineEmpty());
  CHECK(metrics.Text().find("\nsparsed_wasted_steps_total " + std::to_string(cancel_in + 1) +
                            "\n") != std::string::npos);
}

TEST_CASE_METHOD(LoopFixture, "loop: a client that is too slow loses its place within a step") {
  Build();
  const auto slow = PushPlain(32, 32, 1);
  const auto other = PushPlain(32, 8, 2);
  on_step = [&](int step) {
    if (step == 2) slow->MakeTooSlow();
  };
  REQUIRE(Run().ok());
  CHECK(slow->ends == 1);
  REQUIRE(slow->failure.has_value());
  CHECK(slow->failure->code() == grpc::StatusCode::RESOURCE_EXHAUSTED);
  CHECK(slow->stats.steps == 3);
  CHECK(other->result.has_value());
  CHECK(steps == 8);
  CHECK(EngineEmpty());
}

TEST_CASE_METHOD(LoopFixture, "loop: the deadline ends a request that runs, and one that waits") {
  Build({}, 64, {1, 2048, 1 << 20});
  auto running = std::make_shared<RecordingSink>();
  Ticket first = MakeTicket(*tiny.engine, running);
  first.deadline = clock.Now() + seconds(10);
  auto waiting = std::make_shared<RecordingSink>();
  Ticket second = MakeTicket(*tiny.engine, waiting, 32, 32, 2);
  second.deadline = clock.Now() + seconds(5);
  REQUIRE_FALSE(Push(std::move(first)).has_value());
  REQUIRE_FALSE(Push(std::move(second)).has_value());
  REQUIRE(Run().ok());
  CHECK(CodeOf(*running) == grpc::StatusCode::DEADLINE_EXCEEDED);
  CHECK(ReasonOf(*running) == "RUN_DEADLINE");
  CHECK(running->stats.steps == 10);
  CHECK(CodeOf(*waiting) == grpc::StatusCode::DEADLINE_EXCEEDED);
  CHECK(ReasonOf(*waiting) == "QUEUE_DEADLINE");
  CHECK(waiting->stats.queue_seconds == 5);
  CHECK(steps == 10);
  CHECK(EngineEmpty());
}

TEST_CASE_METHOD(LoopFixture, "loop: no more than max_running at a time, in order of arrival") {
  Build({}, 64, {2, 2048, 1 << 20});
  std::vector<std::shared_ptr<RecordingSink>> sinks;
  for (int i = 0; i < 6; ++i) sinks.push_back(PushPlain(32, 8, i));
  int64_t most = 0;
  on_step = [&](int) { most = std::max(most, tiny.engine->running()); };
  REQUIRE(Run().ok());
  CHECK(most == 2);
  CHECK(steps == 24);
  for (int i = 0; i < 6; ++i) CHECK(sinks[i]->stats.queue_seconds == 8 * (i / 2));
}

TEST_CASE_METHOD(LoopFixture,
                 "loop: a device fault ends everything, without the cause, and closes the queue") {
  Build({}, 64, {1, 2048, 1 << 20});
  const auto running = PushPlain();
  const auto waiting = PushPlain(32, 32, 2);
  on_step = [&](int step) {
    if (step == 3) tiny.backend->FailCall(2);
  };
  const absl::Status status = loop->Run();
  CHECK(absl::IsInternal(status));
  CHECK(CodeOf(*running) == grpc::StatusCode::INTERNAL);
  CHECK(running->failure->status.message().find("made to fail") == std::string::npos);
  CHECK(CodeOf(*waiting) == grpc::StatusCode::UNAVAILABLE);
  CHECK(EngineEmpty());
  const std::optional<Failure> next =
      Push(MakeTicket(*tiny.engine, std::make_shared<RecordingSink>()));
  REQUIRE(next.has_value());
  CHECK(next->code() == grpc::StatusCode::UNAVAILABLE);
}

TEST_CASE_METHOD(LoopFixture, "loop: every call of the device may fail") {
  const int nth = GENERATE(0, 1, 5, 20, 40);
  Build();
  const auto sink = PushPlain(32, 4);
  on_step = [&](int step) {
    if (step == 1) tiny.backend->FailCall(nth);
  };
  CHECK(absl::IsInternal(Run()));
  CHECK(CodeOf(*sink) == grpc::StatusCode::INTERNAL);
  CHECK(EngineEmpty());
}

TEST_CASE_METHOD(LoopFixture, "loop: NaN logits end their own request only") {
  testing::FakeBackendOptions options;
  options.nan_seeds = {66};
  Build(options);
  const auto bad = PushPlain(32, 32, 66);
  const auto good = PushPlain(32, 32, 1);
  REQUIRE(Run().ok());
  CHECK(CodeOf(*bad) == grpc::StatusCode::INTERNAL);
  CHECK(good->result.has_value());
  CHECK(EngineEmpty());
}

TEST_CASE_METHOD(LoopFixture,
                 "loop: without memory for its patterns a request waits for others to end") {
  Build();
  Ticket shape = MakeTicket(*tiny.engine, nullptr, 256, 32, 1);
  shape.valid.request.sparse.mode = engine::SparseMode::kSparseD;
  const engine::Reservation need = tiny.engine->Estimate(shape.valid.request);
  REQUIRE(need.mask_cache_bytes > 0);
  // Room for one pattern and a half.
  testing::FakeBackendOptions options;
  options.memory_bytes = tiny.engine->backend_info().allocated_bytes +
                         static_cast<uint64_t>(need.mask_cache_bytes) * 3 / 2;
  Build(options);
  std::vector<std::shared_ptr<RecordingSink>> sinks;
  for (int i = 0; i < 3; ++i) {
    sinks.push_back(std::make_shared<RecordingSink>());
    Ticket ticket = MakeTicket(*tiny.engine, sinks.back(), 256, 32, i);
    ticket.valid.request.sparse.mode = engine::SparseMode::kSparseD;
    ticket.need = need;
    REQUIRE_FALSE(Push(std::move(ticket)).has_value());
  }
  int64_t most = 0;
  on_step = [&](int) { most = std::max(most, tiny.engine->running()); };
  REQUIRE(Run().ok());
  CHECK(most == 1);
  for (const auto& sink : sinks) CHECK(sink->result.has_value());
  CHECK(EngineEmpty());
}

TEST_CASE_METHOD(LoopFixture, "loop: without memory and with nothing to wait for, a request ends") {
  Build();
  std::vector<std::shared_ptr<RecordingSink>> sinks;
  for (int i = 0; i < 2; ++i) {
    sinks.push_back(std::make_shared<RecordingSink>());
    Ticket ticket = MakeTicket(*tiny.engine, sinks.back(), 256, 32, i);
    ticket.valid.request.sparse.mode = engine::SparseMode::kSparseD;
    ticket.need = tiny.engine->Estimate(ticket.valid.request);
    REQUIRE_FALSE(Push(std::move(ticket)).has_value());
  }
  tiny.backend->FailCall(0);
  REQUIRE(Run().ok());
  CHECK(CodeOf(*sinks[0]) == grpc::StatusCode::RESOURCE_EXHAUSTED);
  CHECK(DetailOf<google::rpc::QuotaFailure>(*sinks[0]->failure).violations(0).subject() ==
        "device_memory");
  CHECK(sinks[0]->stats.steps == 0);
  CHECK(sinks[1]->result.has_value());
  CHECK(EngineEmpty());
}

TEST_CASE_METHOD(LoopFixture, "loop: cancelling all ends what runs and what waits") {
  Build({}, 64, {1, 2048, 1 << 20});
  const auto running = PushPlain();
  const auto waiting = PushPlain(32, 32, 2);
  on_step = [&](int step) {
    if (step == 2) loop->CancelAll();
  };
  REQUIRE(Run().ok());
  CHECK(steps == 3);
  CHECK(CodeOf(*running) == grpc::StatusCode::UNAVAILABLE);
  CHECK(ReasonOf(*running) == "DRAIN_TIMEOUT");
  CHECK(ReasonOf(*waiting) == "DRAIN_TIMEOUT");
  CHECK(EngineEmpty());
}

}  // namespace sparsed::server
