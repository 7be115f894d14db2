#include "server/queue.h"

#include <set>
#include <thread>

#include "tests/unit/server/fakes.h"

namespace sparsed::server {
namespace {

Ticket Plain(int32_t priority = 0) {
  Ticket ticket;
  ticket.valid.priority = priority;
  ticket.sink = std::make_shared<RecordingSink>();
  return ticket;
}

std::optional<Failure> Push(RequestQueue& queue, uint32_t* position = nullptr,
                            int32_t priority = 0) {
  Ticket ticket = Plain(priority);
  uint32_t ignored = 0;
  return queue.TryPush(ticket, position != nullptr ? position : &ignored);
}

}  // namespace

TEST_CASE("queue: full means refused at once, with quota, retry time and pushback") {
  RequestQueue queue(2);
  uint32_t position = 9;
  CHECK_FALSE(Push(queue, &position).has_value());
  CHECK(position == 0);
  CHECK_FALSE(Push(queue, &position).has_value());
  CHECK(position == 1);
  const std::optional<Failure> full = Push(queue);
  REQUIRE(full.has_value());
  CHECK(full->code() == grpc::StatusCode::RESOURCE_EXHAUSTED);
  CHECK(full->reason == "queue_full");
  DetailOf<google::rpc::QuotaFailure>(*full);
  DetailOf<google::rpc::RetryInfo>(*full);
  REQUIRE(full->pushback_ms.has_value());
  CHECK(*full->pushback_ms >= 50);
  CHECK(*full->pushback_ms <= 30000);
  CHECK(queue.Take({1}).size() == 1);
  CHECK_FALSE(Push(queue).has_value());
}

TEST_CASE("queue: the position counts those that go first") {
  RequestQueue queue(8);
  uint32_t position = 9;
  Push(queue);
  Push(queue);
  Push(queue, &position, 1);
  CHECK(position == 0);
  Push(queue, &position, 0);
  CHECK(position == 3);
}

TEST_CASE("queue: the tokens that wait are bounded, a lone request is not") {
  RequestQueue queue(8, 100);
  const auto push = [&queue](int64_t tokens) {
    Ticket ticket = Plain();
    ticket.need.batch_tokens = tokens;
    uint32_t position = 0;
    return queue.TryPush(ticket, &position);
  };
  CHECK_FALSE(push(60).has_value());
  CHECK_FALSE(push(40).has_value());
  const std::optional<Failure> full = push(1);
  REQUIRE(full.has_value());
  CHECK(full->code() == grpc::StatusCode::RESOURCE_EXHAUSTED);
  CHECK(full->reason == "queue_tokens_full");
  CHECK(DetailOf<google::rpc::QuotaFailure>(*full).violations(0).subject() == "queue_tokens");
  CHECK(*full->pushback_ms >= 50);
  CHECK(queue.tokens() == 100);
  std::vector<Ticket> taken = queue.Take({1});
  CHECK(queue.tokens() == 40);
  CHECK_FALSE(push(60).has_value());
  queue.PutBack(std::move(taken.front()));
  CHECK(queue.tokens() == 160);
  CHECK(push(1).has_value());
  queue.TakeAll();
  CHECK(queue.tokens() == 0);
  CHECK_FALSE(push(1000).has_value());
}

TEST_CASE("queue: the pushback is the time that the work of those that wait takes, spread") {
  StepCosts costs;
  // Half a second for a step of 100 rows, a tenth of it for one of 10.
  for (int i = 0; i < 20; ++i) {
    costs.Record({100, 1}, 1, 0.5);
    costs.Record({10, 1}, 1, 0.05);
  }
  RequestQueue queue(4, 1000, &costs);
  CHECK(queue.DrainSeconds() == 0);
  for (int i = 0; i < 4; ++i) {
    Ticket ticket = Plain();
    ticket.work.full_steps = 4;
    ticket.work.full = {100, 1};
    uint32_t position = 0;
    CHECK_FALSE(queue.TryPush(ticket, &position).has_value());
  }
  CHECK(queue.DrainSeconds() == Approx(8).epsilon(0.05));
  std::set<int64_t> seen;
  for (int i = 0; i < 20; ++i) {
    const std::optional<Failure> full = Push(queue);
    REQUIRE(full.has_value());
    CHECK(*full->pushback_ms > 5500);
    CHECK(*full->pushback_ms < 10500);
    seen.insert(*full->pushback_ms);
  }
  CHECK(seen.size() > 10);
}

TEST_CASE("queue: the pushback is bounded whatever the work") {
  StepCosts costs;
  costs.Record({100, 100}, 1, 500);
  RequestQueue queue(1, 1000, &costs);
  Ticket ticket = Plain();
  ticket.work.full_steps = 100;
  ticket.work.full = {100, 100};
  uint32_t position = 0;
  CHECK_FALSE(queue.TryPush(ticket, &position).has_value());
  CHECK(*Push(queue)->pushback_ms == 30000);
}

TEST_CASE("queue: closed keeps its tickets and refuses new ones") {
  RequestQueue queue(2);
  Push(queue);
  queue.Close(Draining());
  queue.Close(EngineStopped());
  const std::optional<Failure> refused = Push(queue);
  REQUIRE(refused.has_value());
  CHECK(refused->code() == grpc::StatusCode::UNAVAILABLE);
  CHECK(refused->reason == "draining");
  CHECK(queue.WaitForWork());
  std::vector<Ticket> tickets = queue.Take({1});
  CHECK_FALSE(queue.WaitForWork());
  queue.PutBack(std::move(tickets.front()));
  CHECK(queue.WaitForWork());
  CHECK(queue.TakeAll().size() == 1);
  CHECK(queue.size() == 0);
}

TEST_CASE("queue: a waiting thread wakes for work and for the close") {
  RequestQueue queue(2);
  std::atomic<int> woken = 0;
  std::thread waiter([&] {
    while (queue.WaitForWork()) {
      woken += static_cast<int>(queue.TakeAll().size());
    }
  });
  Push(queue);
  while (woken < 1) std::this_thread::yield();
  Push(queue);
  while (woken < 2) std::this_thread::yield();
  queue.Close(Draining());
  waiter.join();
  CHECK(woken == 2);
}

TEST_CASE("queue: the snapshot shows what the batcher asks for") {
  RequestQueue queue(2);
  Ticket ticket = Plain(3);
  auto sink = std::make_shared<RecordingSink>();
  ticket.sink = sink;
  ticket.need = {7, 8};
  uint32_t position = 0;
  queue.TryPush(ticket, &position);
  sink->Cancel();
  const std::vector<Waiting> snapshot = queue.Snapshot();
  REQUIRE(snapshot.size() == 1);
  CHECK(snapshot[0].number == 1);
  CHECK(snapshot[0].priority == 3);
  CHECK(snapshot[0].cancelled);
  CHECK(snapshot[0].need.batch_tokens == 7);
  CHECK(snapshot[0].need.mask_cache_bytes == 8);
}

}  // namespace sparsed::server
