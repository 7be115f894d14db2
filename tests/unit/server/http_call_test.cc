#include "server/http_call.h"

#include <string>
#include <thread>

#include "tests/unit/server/http_pair.h"

namespace sparsed::server {
namespace {

using std::chrono::milliseconds;

// A call by a connection, served by the test's own thread; the engine is another.
class HttpCallFixture {
 public:
  explicit HttpCallFixture(const HttpLimits& limits = kSmallLimits) : pair(limits) {
    CallInfo info;
    info.surface = "openai";
    info.generation = true;
    call = HttpCall::Create(&access_, &open, pair.connection(), info);
    call->Accept({});
  }

  // Keeps texts of blocks, and "end"; for each event writes `bytes`, which nobody reads.
  std::optional<Failure> Serve(size_t bytes = 0) {
    const auto failure = call->Serve(
        [&, bytes](const v1::StreamGenerateResponse& event) {
          if (event.has_block()) seen += event.block().text();
          if (event.has_final()) seen += " end";
          const std::string much(bytes, 'x');
          return pair.server().write(much.data(), bytes) == static_cast<ssize_t>(bytes);
        },
        milliseconds(1), [&] { return ++idle > 0; });
    return failure;
  }
  void Block(const std::string& text) {
    v1::Block block;
    block.set_text(text);
    call->OnBlock(block);
  }

  HttpPair pair;
  OpenStreams open;
  std::shared_ptr<HttpCall> call;
  std::string seen;
  int idle = 0;

 private:
  const Log log_{"error", "json"};
  Metrics metrics_{"version", "commit"};
  const AccessLog access_{&log_, &metrics_};
};

}  // namespace

TEST_CASE("http: a call's events are written in their order by its connection's thread") {
  HttpCallFixture http;
  std::thread engine([&http] {
    for (int i = 0; i < 100; ++i) http.Block(std::to_string(i % 10));
    std::this_thread::sleep_for(milliseconds(60));
    http.call->OnResult({}, {});
  });
  CHECK_FALSE(http.Serve().has_value());
  engine.join();
  std::string digits;
  for (int i = 0; i < 100; ++i) digits += std::to_string(i % 10);
  CHECK(http.seen == digits + " end");
  CHECK(http.idle > 0);
  CHECK(http.open.CheckReaders(TimePoint(), Duration::zero()) == 0);
}

TEST_CASE("http: a client that stops reading is too slow first, then cut") {
  HttpCallFixture http;
  http.Block("a");
  constexpr std::chrono::seconds kLimit(1);
  bool borne_with = false;
  std::thread supervisor([&] {
    // Longer than a write that nobody watches may take.
    std::this_thread::sleep_for(2 * kSmallLimits.write_time);
    borne_with = !http.call->cancelled();
    http.Block("b");
    TimePoint now;
    for (int found = 0; found < 2; now += kLimit) found += http.open.CheckReaders(now, kLimit);
    http.call->OnFailure(SlowConsumer(), {});
  });
  const auto failure = http.Serve(1 << 20);
  supervisor.join();
  CHECK(borne_with);
  CHECK(http.call->too_slow());
  REQUIRE(failure.has_value());
  CHECK(failure->reason == "slow_consumer");
  CHECK_FALSE(http.pair.server().is_writable());
}

TEST_CASE("http: a client that goes cancels its call") {
  HttpCallFixture http;
  std::thread engine([&http] {
    http.pair.Leave();
    while (!http.call->cancelled()) std::this_thread::sleep_for(milliseconds(1));
    http.call->OnFailure(Cancelled(), {});
  });
  const auto failure = http.Serve();
  engine.join();
  REQUIRE(failure.has_value());
  CHECK(failure->reason == "cancelled");
}

TEST_CASE("http: a call that is never served ends without anyone waiting for it") {
  HttpCallFixture http;
  http.Block("a");
  http.call->Abandon();
  CHECK(http.call->cancelled());
  http.Block("b");
  http.call->OnFailure(Cancelled(), {});
  CHECK(http.Serve()->reason == "cancelled");
  CHECK(http.seen.empty());
}

}  // namespace sparsed::server
