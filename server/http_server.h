// An HTTP/1.1 server whose clients are bounded in bytes, time and connections, whatever they send.
#pragma once

#include <httplib.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "server/config.h"
#include "server/http_connection.h"

namespace sparsed::server {

// Routes are added, then Start is called. A connection has one of `threads` threads for its whole
// life; handlers run on it. Those that come while none is free are turned away.
class HttpServer final : private httplib::Server {
 public:
  HttpServer(int threads, const HttpLimits& limits);
  // Stops reading; answers that are under way get a second, then they are cut.
  ~HttpServer() override;

  using httplib::Server::Get;
  using httplib::Server::Post;
  using httplib::Server::set_error_handler;
  using httplib::Server::set_payload_max_length;
  using httplib::Server::set_pre_routing_handler;

  // What is sent to who is turned away: a whole answer. Before Start; called by several threads.
  void set_full_answer(std::function<std::string()> answer) { full_answer_ = std::move(answer); }

  // Listens on its own thread. Errors: UNAVAILABLE naming the address and the flag.
  absl::Status Start(const HostPort& address, const char* flag);
  int port() const { return port_; }
  // The connection of a request that is being handled.
  std::shared_ptr<HttpConnection> ConnectionOf(const httplib::Request& request) const;

 private:
  bool process_and_close_socket(socket_t socket) override;
  void Serve(socket_t socket);
  void TurnAway(socket_t socket) const;

  const int threads_;
  const HttpLimits limits_;
  std::function<std::string()> full_answer_;
  int port_ = 0;
  std::thread thread_;
  std::atomic<bool> ended_ = false;  // the thread that listens
  mutable std::mutex mu_;
  // The members below are guarded by mu_.
  std::condition_variable idle_;
  bool stopping_ = false;
  int serving_ = 0;  // connections that have a thread; longer than they are in open_
  // Every connection that has a thread; by the socket's number, with what it is asked.
  struct Open {
    std::shared_ptr<HttpConnection> connection;
    const httplib::Request* request = nullptr;
  };
  std::map<socket_t, Open> open_;
};

}  // namespace sparsed::server
