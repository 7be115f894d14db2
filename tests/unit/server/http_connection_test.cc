#include "server/http_connection.h"

#include <string>
#include <thread>

#include "tests/unit/server/http_pair.h"

namespace sparsed::server {
namespace {

using std::chrono::milliseconds;

TEST_CASE("http: head and body have their own limits, however they come") {
  HttpPair pair;
  pair.Send("0123456789012345678901234567890123456789");
  REQUIRE(pair.server().WaitForRequest());
  CHECK(pair.Read(5) == "01234");
  CHECK(pair.Read(5) == "567");
  CHECK(pair.Read(5) == "failed");
  pair.server().HeadDone();
  CHECK(pair.Read(100) == "8901234567890123");
  CHECK(pair.Read(1) == "failed");
  CHECK_FALSE(pair.server().too_slow());
}

TEST_CASE("http: a request has its time, and so has its beginning") {
  HttpPair pair;
  CHECK_FALSE(pair.server().WaitForRequest());
  pair.Send("a");
  REQUIRE(pair.server().WaitForRequest());
  CHECK(pair.Read(5) == "a");
  std::thread dripping([&pair] {
    for (int i = 0; i < 7; ++i) {
      std::this_thread::sleep_for(milliseconds(30));
      pair.Send("b");
    }
  });
  std::string seen;
  while (seen.size() < 8 && pair.server().is_readable()) {
    const std::string part = pair.Read(1);
    if (part == "failed") break;
    seen += part;
  }
  dripping.join();
  CHECK(seen.size() < 7);
  CHECK(pair.Read(1) == "failed");
  CHECK(pair.server().too_slow());
}

TEST_CASE("http: a write ends though nobody reads") {
  HttpPair pair;
  const std::string much(1 << 20, 'x');
  CHECK(pair.server().write(much.data(), much.size()) == -1);
  CHECK(pair.server().alive());
}

TEST_CASE("http: a write that is watched lasts until it is aborted") {
  HttpPair pair;
  pair.server().SetWatched(true);
  std::thread watching([&pair] {
    std::this_thread::sleep_for(2 * kSmallLimits.write_time);
    pair.server().Abort();
  });
  const TimePoint begin = std::chrono::steady_clock::now();
  const std::string much(1 << 20, 'x');
  CHECK(pair.server().write(much.data(), much.size()) == -1);
  CHECK(std::chrono::steady_clock::now() - begin >= 2 * kSmallLimits.write_time);
  watching.join();
}

TEST_CASE("http: a client that goes is noticed, and its end is read") {
  HttpPair pair;
  CHECK(pair.server().is_writable());
  pair.Send("a");
  pair.Leave();
  CHECK_FALSE(pair.server().alive());
  REQUIRE(pair.server().WaitForRequest());
  CHECK(pair.Read(5) == "a");
  CHECK(pair.Read(5).empty());
  CHECK(pair.server().write("x", 1) == -1);
}

TEST_CASE("http: other threads end what a connection waits for") {
  HttpLimits limits = kSmallLimits;
  limits.idle_time = limits.request_time = limits.write_time = std::chrono::minutes(1);
  const auto later = [](auto what) {
    return std::thread([what] {
      std::this_thread::sleep_for(milliseconds(20));
      what();
    });
  };
  {
    HttpPair pair(limits);
    std::thread stop = later([&pair] { pair.server().StopReading(); });
    CHECK_FALSE(pair.server().WaitForRequest());
    stop.join();
    CHECK(pair.server().write("x", 1) == 1);
  }
  HttpPair pair(limits);
  std::thread stop = later([&pair] { pair.server().Abort(); });
  const std::string much(1 << 20, 'x');
  CHECK(pair.server().write(much.data(), much.size()) == -1);
  stop.join();
  CHECK_FALSE(pair.server().is_writable());
}

}  // namespace
}  // namespace sparsed::server
