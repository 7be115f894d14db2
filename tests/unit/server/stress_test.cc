// Many callers at once, over the real queue, loop and streams: whatever happens, every call ends
// once and nothing is left behind.
#include <condition_variable>
#include <deque>
#include <mutex>
#include <random>
#include <thread>

#include "server/open_streams.h"
#include "server/step_loop.h"
#include "server/stream.h"
#include "tests/unit/server/fakes.h"

namespace sparsed::server {
namespace {

constexpr int kRequests = 2000;
constexpr int kCallers = 4;

// Plays gRPC's transport: a thread that completes writes, some of them badly.
class Transport {
 public:
  Transport() : thread_([this] { Run(); }) {}
  ~Transport() {
    {
      const std::lock_guard lock(mu_);
      ending_ = true;
    }
    posted_.notify_one();
    thread_.join();
  }
  void Post(std::function<void()> completion) {
    {
      const std::lock_guard lock(mu_);
      completions_.push_back(std::move(completion));
    }
    posted_.notify_one();
  }

 private:
  void Run() {
    while (true) {
      std::unique_lock lock(mu_);
      posted_.wait(lock, [this] { return ending_ || !completions_.empty(); });
      // A completion may post the next one: the end is behind all of them.
      if (completions_.empty()) return;
      const std::function<void()> completion = std::move(completions_.front());
      completions_.pop_front();
      lock.unlock();
      completion();
    }
  }

  std::mutex mu_;
  std::condition_variable posted_;
  std::deque<std::function<void()>> completions_;
  bool ending_ = false;
  std::thread thread_;
};

struct Totals {
  std::atomic<int> finished = 0;
  std::atomic<int> ok = 0;
  std::atomic<int> cancelled = 0;
  std::atomic<int> other = 0;
  std::atomic<int> order_errors = 0;
  std::atomic<int> alive = 0;
};

class StressStream final : public Stream, public std::enable_shared_from_this<StressStream> {
 public:
  StressStream(Transport* transport, Totals* totals, OpenStreams* open, bool breaks)
      : transport_(transport), totals_(totals), open_(open), breaks_(breaks) {
    ++totals_->alive;
  }
  ~StressStream() override {
    open_->Remove(this);
    --totals_->alive;
  }
  using Stream::MarkCancelled;

 private:
  void StartWrite(const v1::StreamGenerateResponse& event) override {
    const int number = writes_++;
    if (event.has_accepted() != (number == 0) || final_) ++totals_->order_errors;
    final_ = event.has_final();
    const bool ok = !(breaks_ && number == 2);
    transport_->Post([self = shared_from_this(), ok] { self->WriteDone(ok); });
  }
  void FinishCall(const Failure* failure) override {
    if (finishes_++ != 0) ++totals_->order_errors;
    if (failure == nullptr) {
      ++totals_->ok;
    } else if (failure->code() == grpc::StatusCode::CANCELLED) {
      ++totals_->cancelled;
    } else {
      ++totals_->other;
    }
    ++totals_->finished;
  }
  void AbortCall() override {}  // the transport ends every write by itself

  Transport* const transport_;
  Totals* const totals_;
  OpenStreams* const open_;
  const bool breaks_;
  int writes_ = 0;
  int finishes_ = 0;
  bool final_ = false;
};

Ticket RandomTicket(const engine::Engine& engine, std::mt19937& random,
                    std::shared_ptr<EventSink> sink) {
  const int32_t canvas = 32 * (1 + static_cast<int32_t>(random() % 2));
  Ticket ticket = MakeTicket(engine, std::move(sink), canvas, 2 + 2 * (random() % 4), random());
  if (random() % 2 == 0) {
    ticket.valid.request.sparse.mode = engine::SparseMode::kSparseD;
    ticket.valid.request.sparse.block_size = 32;
    ticket.need = engine.Estimate(ticket.valid.request);
  }
  ticket.valid.priority = static_cast<int32_t>(random() % 3);
  ticket.wants_frames = random() % 4 == 0;
  ticket.wants_progress = random() % 2 == 0;
  ticket.arrival = std::chrono::steady_clock::now();
  if (random() % 16 == 0) ticket.deadline = ticket.arrival + std::chrono::milliseconds(2);
  return ticket;
}

// One caller: pushes its share, retries where the queue is full, cancels at random.
void Call(int caller, const engine::Engine& engine, RequestQueue& queue, Transport& transport,
          OpenStreams& open, Totals& totals) {
  std::mt19937 random(static_cast<uint32_t>(caller));
  std::deque<std::weak_ptr<StressStream>> to_cancel;
  for (int i = 0; i < kRequests / kCallers; ++i) {
    auto stream = std::make_shared<StressStream>(&transport, &totals, &open, random() % 8 == 0);
    open.Add(stream);
    const bool cancel = random() % 4 == 0;
    if (cancel && random() % 2 == 0) stream->MarkCancelled();
    Ticket ticket = RandomTicket(engine, random, stream);
    uint32_t position = 0;
    while (queue.TryPush(ticket, &position)) std::this_thread::yield();
    stream->Accept({});
    if (cancel) to_cancel.push_back(stream);
    if (to_cancel.size() > 3) {
      if (const auto victim = to_cancel.front().lock()) victim->MarkCancelled();
      to_cancel.pop_front();
    }
  }
}

}  // namespace

TEST_CASE("2,000 requests with random cancels, deadlines and dead clients leave nothing behind") {
  TinyEngine tiny = MakeTinyEngine();
  const uint64_t allocated = tiny.engine->backend_info().allocated_bytes;
  const std::unique_ptr<engine::Tokenizer> tokenizer = MakeTokenizer();
  Metrics metrics("v", "c");
  const Log log("error", "text");
  StepCosts costs;
  RequestQueue queue(64, 1 << 20, &costs);
  StepLoop::Parts parts;
  parts.engine = tiny.engine.get();
  parts.tokenizer = tokenizer.get();
  parts.queue = &queue;
  parts.metrics = &metrics;
  parts.log = &log;
  parts.costs = &costs;
  parts.limits = {16, 2048, 1 << 20};
  parts.clock = [] { return std::chrono::steady_clock::now(); };
  StepLoop loop(parts);
  Totals totals;
  OpenStreams open;
  absl::Status status = absl::UnknownError("did not run");
  {
    Transport transport;
    std::thread engine_thread([&] { status = loop.Run(); });
    std::vector<std::thread> callers;
    for (int caller = 0; caller < kCallers; ++caller) {
      callers.emplace_back(
          [&, caller] { Call(caller, *tiny.engine, queue, transport, open, totals); });
    }
    std::atomic<bool> done = false;
    std::thread watcher([&] {
      while (!done) {
        open.CheckReaders(parts.clock(), std::chrono::milliseconds(50));
        loop.heartbeat().Stalled(parts.clock(), std::chrono::seconds(10));
      }
    });
    for (std::thread& caller : callers) caller.join();
    queue.Close(Draining());
    engine_thread.join();
    done = true;
    watcher.join();
  }
  CHECK(status.ok());
  CHECK(totals.finished == kRequests);
  CHECK(totals.order_errors == 0);
  CHECK(totals.alive == 0);
  CHECK(totals.ok > kRequests / 4);
  CHECK(totals.cancelled > kRequests / 20);
  CHECK(totals.ok + totals.cancelled + totals.other == kRequests);
  CHECK(queue.size() == 0);
  CHECK(tiny.engine->running() == 0);
  CHECK(tiny.engine->batch_tokens() == 0);
  CHECK(tiny.engine->mask_cache_bytes() == 0);
  CHECK(tiny.engine->backend_info().allocated_bytes == allocated);
}

}  // namespace sparsed::server
