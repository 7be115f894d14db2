// A small HTTP/1.1 server for pages that are made at once: one thread, one request a connection.
// Clients that send slowly, or nothing, cost a descriptor until their time is over and hold up
// nobody: the thread never waits for one of them.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "server/clock.h"
#include "server/config.h"

namespace sparsed::server {

struct HttpPage {
  int status = 200;
  std::string content_type;
  std::string body;
};

struct HttpLimits {
  // One connection more ends the oldest one.
  size_t max_connections = 256;
  size_t max_head_bytes = 16384;  // of request line and headers
  // From accepting a connection to the last byte of its answer.
  std::chrono::seconds time{5};
};

class HttpListener {
 public:
  // path: before the question mark; query: behind it. Called by the listener's thread for GET and
  // HEAD; must return at once.
  using Handler = std::function<HttpPage(const std::string& path, const std::string& query)>;

  // Listens until destroyed. Errors: UNAVAILABLE naming the address.
  static absl::StatusOr<std::unique_ptr<HttpListener>> Start(const HostPort& address,
                                                             Handler handler, HttpLimits limits);
  ~HttpListener();

  int port() const { return port_; }

 private:
  class Loop;
  HttpListener() = default;

  std::unique_ptr<Loop> loop_;
  int port_ = 0;
  std::thread thread_;
};

}  // namespace sparsed::server
