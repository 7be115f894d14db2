// A step loop on the tiny engine; it runs in the test's own thread until its queue is empty.
#pragma once

#include <functional>
#include <memory>

#include "server/step_loop.h"
#include "tests/unit/server/fakes.h"

namespace sparsed::server {

class LoopFixture {
 public:
  // Makes the engine and the loop. on_step: called inside every forward pass with its number,
  // 0-based.
  void Build(testing::FakeBackendOptions options = {}, int64_t queue_capacity = 64,
             Limits limits = {16, 2048, 1 << 20}) {
    options.on_rows = [this](int64_t rows) { clock.Advance(step_time(rows)); };
    options.on_step = [this] {
      if (on_step) on_step(steps);
      ++steps;
    };
    tiny = MakeTinyEngine(options, limits.max_batch_tokens, limits.running_tokens());
    queue = std::make_unique<RequestQueue>(queue_capacity, 1 << 20, &costs);
    StepLoop::Parts parts;
    parts.engine = tiny.engine.get();
    parts.tokenizer = tokenizer.get();
    parts.queue = queue.get();
    parts.metrics = &metrics;
    parts.log = &log;
    parts.costs = &costs;
    parts.limits = limits;
    parts.cost_share = cost_share;
    parts.clock = clock.clock();
    loop = std::make_unique<StepLoop>(parts);
  }

  std::optional<Failure> Push(Ticket ticket) {
    ticket.arrival = clock.Now();
    uint32_t position = 0;
    return queue->TryPush(ticket, &position);
  }
  std::shared_ptr<RecordingSink> PushPlain(int32_t canvas = 32, int32_t steps_wanted = 32,
                                           uint64_t seed = 1) {
    auto sink = std::make_shared<RecordingSink>();
    CHECK_FALSE(Push(MakeTicket(*tiny.engine, sink, canvas, steps_wanted, seed)).has_value());
    return sink;
  }

  // Until everything in the queue has ended.
  absl::Status Run() {
    queue->Close(Draining());
    return loop->Run();
  }

  bool EngineEmpty() const {
    return tiny.engine->running() == 0 && tiny.engine->mask_cache_bytes() == 0 &&
           tiny.engine->batch_tokens() == 0;
  }

  std::function<void(int)> on_step;
  // By the packed rows of a step; set before Build.
  std::function<Duration(int64_t)> step_time = [](int64_t) { return std::chrono::seconds(1); };
  double cost_share = 0.25;
  int steps = 0;  // forward passes so far
  FakeClock clock;
  const std::unique_ptr<engine::Tokenizer> tokenizer = MakeTokenizer();
  Metrics metrics{"v", "c"};
  Log log{"error", "text"};
  StepCosts costs;
  TinyEngine tiny;
  std::unique_ptr<RequestQueue> queue;
  std::unique_ptr<StepLoop> loop;
};

}  // namespace sparsed::server
