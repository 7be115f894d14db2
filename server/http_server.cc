#include "server/http_server.h"

#include <sys/socket.h>
#include <unistd.h>

#include <chrono>

#include "absl/strings/str_cat.h"

namespace sparsed::server {
namespace {

constexpr std::chrono::seconds kStopGrace(1);
// They only turn away, which takes no time; without them who comes too many would wait in a list
// that nothing bounds.
constexpr int kSpareThreads = 4;
constexpr char kFullAnswer[] =
    "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

// The library's default shares a port that is taken, in silence.
void SetSocketOptions(socket_t socket) {
  const int yes = 1;
  setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
}

bool AnnouncesBody(const httplib::Request& request) {
  const std::string length = request.get_header_value("Content-Length");
  return request.has_header("Transfer-Encoding") || (!length.empty() && length != "0");
}

}  // namespace

HttpServer::HttpServer(int threads, const HttpLimits& limits)
    : threads_(threads), limits_(limits), full_answer_([] { return std::string(kFullAnswer); }) {
  new_task_queue = [threads] {
    return new httplib::ThreadPool(static_cast<size_t>(threads + kSpareThreads));
  };
  set_socket_options(SetSocketOptions);
  set_tcp_nodelay(true);
}

HttpServer::~HttpServer() {
  if (!thread_.joinable()) return;
  {
    std::unique_lock lock(mu_);
    stopping_ = true;
    for (const auto& [socket, open] : open_) open.connection->StopReading();
  }
  stop();
  {
    std::unique_lock lock(mu_);
    idle_.wait_for(lock, kStopGrace, [this] { return open_.empty(); });
    for (const auto& [socket, open] : open_) open.connection->Abort();
  }
  thread_.join();
}

absl::Status HttpServer::Start(const HostPort& address, const char* flag) {
  const std::string& host = address.host;
  port_ = address.port == 0                  ? bind_to_any_port(host)
          : bind_to_port(host, address.port) ? address.port
                                             : -1;
  if (port_ <= 0) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen on ", host, ":", address.port, " (", flag, ")"));
  }
  // The library lets five wait to be accepted; the others' connecting would take a second more.
  ::listen(svr_sock_, SOMAXCONN);
  thread_ = std::thread([this] {
    listen_after_bind();
    ended_ = true;
  });
  // The library's stop() does nothing before its loop has begun.
  while (!is_running() && !ended_) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  return absl::OkStatus();
}

std::shared_ptr<HttpConnection> HttpServer::ConnectionOf(const httplib::Request& request) const {
  const std::lock_guard lock(mu_);
  for (const auto& [socket, open] : open_) {
    if (open.request == &request) return open.connection;
  }
  return nullptr;
}

bool HttpServer::process_and_close_socket(socket_t socket) {
  {
    std::unique_lock lock(mu_);
    if (serving_ == threads_) {
      lock.unlock();
      TurnAway(socket);
      return false;
    }
    ++serving_;
  }
  Serve(socket);
  const std::lock_guard lock(mu_);
  --serving_;
  return true;
}

void HttpServer::TurnAway(socket_t socket) const {
  const std::string answer = full_answer_();
  send(socket, answer.data(), answer.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  shutdown(socket, SHUT_WR);
  // To close with bytes unread is to take the answer back.
  char sent_so_far[16 << 10];
  recv(socket, sent_so_far, sizeof(sent_so_far), MSG_DONTWAIT);
  close(socket);
}

void HttpServer::Serve(socket_t socket) {
  const auto connection = std::make_shared<HttpConnection>(socket, limits_);
  const auto ask = [&](const httplib::Request* request) {
    const std::lock_guard lock(mu_);
    open_[socket] = {connection, request};
    if (stopping_) connection->StopReading();
  };
  ask(nullptr);
  bool ok = true;
  bool closed = false;
  for (int left = limits_.requests; ok && !closed && left > 0; --left) {
    if (!connection->WaitForRequest()) break;
    ok = process_request(*connection, left == 1, closed, [&](httplib::Request& request) {
      connection->HeadDone();
      connection->SetUnread(AnnouncesBody(request));
      ask(&request);
    });
    ask(nullptr);
  }
  {
    // Before its number can be another's.
    const std::lock_guard lock(mu_);
    open_.erase(socket);
    if (open_.empty()) idle_.notify_all();
  }
  connection->Close();
}

}  // namespace sparsed::server
