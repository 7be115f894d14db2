// A connection of the HTTP port and its client, in one process.
#pragma once

#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <string>

#include "server/http_connection.h"
#include "tests/testing/catch.h"

namespace sparsed::server {

inline constexpr HttpLimits kSmallLimits = {
    .head_bytes = 8,
    .body_bytes = 16,
    .request_time = std::chrono::milliseconds(100),
    .idle_time = std::chrono::milliseconds(20),
    .write_time = std::chrono::milliseconds(50),
    .send_buffer_bytes = 4096,
};

class HttpPair {
 public:
  explicit HttpPair(const HttpLimits& limits = kSmallLimits) {
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets_) == 0);
    connection_ = std::make_shared<HttpConnection>(sockets_[0], limits);
  }
  ~HttpPair() {
    Leave();
    connection_->Close();
  }
  HttpConnection& server() { return *connection_; }
  const std::shared_ptr<HttpConnection>& connection() const { return connection_; }
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
  std::shared_ptr<HttpConnection> connection_;
};

}  // namespace sparsed::server
