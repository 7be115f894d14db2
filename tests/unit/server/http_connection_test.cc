#include "server/http_connection.h"

#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <thread>

#include "tests/testing/catch.h"

namespace sparsed::server {
namespace {

using std::chrono::milliseconds;

constexpr HttpLimits kSmallLimits = {
    .head_bytes = 8,
    .body_bytes = 16,
    .request_time = milliseconds(50),
    .idle_time = milliseconds(20),
    .write_time = milliseconds(50),
    .send_buffer_bytes = 4096,
};

// A connection whose client is here too.
class Pair {
 public:
  explicit Pair(const HttpLimits& limits = kSmallLimits) {
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets_) == 0);
    connection_ = std::make_unique<HttpConnection>(sockets_[0], limits);
  }
  ~Pair() {
    connection_->Close();
    Leave();
  }
  HttpConnection& server() { return *connection_; }
  void Send(const std::string& bytes) {
    REQUIRE(send(sockets_[1], bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
  }
  void Leave() {
    if (sockets_[1] >= 0) close(sockets_[1]);
    sockets_[1] = -1;
  }
  // Up to `size` bytes of the request.
  std::string Read(size_t size) {
    std::string bytes(size, '\0');
    const ssize_t got = connection_->read(bytes.data(), size);
    return got < 0 ? "failed" : bytes.substr(0, static_cast<size_t>(got));
  }

 private:
  int sockets_[2] = {-1, -1};
  std::unique_ptr<HttpConnection> connection_;
};

TEST_CASE("http: head and body have their own limits, however they come") {
  Pair pair;
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
  Pair pair;
  CHECK_FALSE(pair.server().WaitForRequest());
  pair.Send("a");
  REQUIRE(pair.server().WaitForRequest());
  CHECK(pair.Read(5) == "a");
  std::thread dripping([&pair] {
    for (int i = 0; i < 7; ++i) {
      std::this_thread::sleep_for(milliseconds(15));
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
  Pair pair;
  const std::string much(1 << 20, 'x');
  CHECK(pair.server().write(much.data(), much.size()) == -1);
  CHECK(pair.server().alive());
}

TEST_CASE("http: a client that goes is noticed, and its end is read") {
  Pair pair;
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
    Pair pair(limits);
    std::thread stop = later([&pair] { pair.server().StopReading(); });
    CHECK_FALSE(pair.server().WaitForRequest());
    stop.join();
    CHECK(pair.server().write("x", 1) == 1);
  }
  Pair pair(limits);
  std::thread stop = later([&pair] { pair.server().Abort(); });
  const std::string much(1 << 20, 'x');
  CHECK(pair.server().write(much.data(), much.size()) == -1);
  stop.join();
  CHECK_FALSE(pair.server().is_writable());
}

}  // namespace
}  // namespace sparsed::server
