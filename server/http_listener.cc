#include "server/http_listener.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <list>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/http_request.h"

namespace sparsed::server {
namespace {

TimePoint Now() { return std::chrono::steady_clock::now(); }

// A listening socket, or -1.
int Listen(const HostPort& address) {
  addrinfo hints = {};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const std::string port = absl::StrCat(address.port);
  if (getaddrinfo(address.host.c_str(), port.c_str(), &hints, &found) != 0) return -1;
  int listening = -1;
  for (const addrinfo* a = found; a != nullptr && listening < 0; a = a->ai_next) {
    const int fd =
        socket(a->ai_family, a->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, a->ai_protocol);
    if (fd < 0) continue;
    // Not SO_REUSEPORT: a port that is taken must be an error.
    const int yes = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, SOMAXCONN) == 0) {
      listening = fd;
    } else {
      close(fd);
    }
  }
  freeaddrinfo(found);
  return listening;
}

int PortOf(int socket) {
  sockaddr_storage address = {};
  socklen_t size = sizeof(address);
  if (getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
  return ntohs(address.ss_family == AF_INET6
                   ? reinterpret_cast<const sockaddr_in6*>(&address)->sin6_port
                   : reinterpret_cast<const sockaddr_in*>(&address)->sin_port);
}

struct Connection {
  int fd = -1;
  TimePoint deadline;
  std::string in;
  std::string out;  // what is left of the answer
  bool answered = false;
  bool done = false;
};

}  // namespace

// Used by the listener's thread, but for Stop.
class HttpListener::Loop {
 public:
  Loop(int listening, Handler handler, HttpLimits limits)
      : listening_(listening),
        wake_(eventfd(0, EFD_CLOEXEC)),
        handler_(std::move(handler)),
        limits_(limits) {}
  ~Loop() {
    for (const Connection& connection : connections_) close(connection.fd);
    close(listening_);
    close(wake_);
  }

  void Stop() const {
    const uint64_t one = 1;
    // It cannot fail: the counter is far from full.
    [[maybe_unused]] const ssize_t written = write(wake_, &one, sizeof(one));
  }

  void Run() {
    while (true) {
      std::vector<pollfd> polled = {{wake_, POLLIN, 0}, {listening_, POLLIN, 0}};
      for (const Connection& connection : connections_) {
        const short events = connection.out.empty() ? POLLIN : POLLOUT;
        polled.push_back({connection.fd, events, 0});
      }
      poll(polled.data(), polled.size(), Timeout());
      if (polled[0].revents != 0) return;
      size_t i = 2;
      for (Connection& connection : connections_) {
        if (polled[i++].revents != 0) Serve(connection);
      }
      if (polled[1].revents != 0) Accept();
      Drop();
    }
  }

 private:
  // Milliseconds until the oldest connection's time is over; the list is in order of age.
  int Timeout() const {
    if (connections_.empty()) return -1;
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        connections_.front().deadline - Now());
    return static_cast<int>(std::max<int64_t>(left.count() + 1, 0));
  }

  void Accept() {
    while (true) {
      const int fd = accept4(listening_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) {
        // Out of descriptors: the oldest connection gives its own, so that this cannot spin.
        const bool out = errno == EMFILE || errno == ENFILE;
        if (out && !connections_.empty()) connections_.front().done = true;
        if (out && connections_.empty()) poll(nullptr, 0, 100);
        return;
      }
      if (connections_.size() >= limits_.max_connections) {
        close(connections_.front().fd);
        connections_.pop_front();
      }
      connections_.push_back({fd, Now() + limits_.time, "", "", false, false});
    }
  }

  void Serve(Connection& connection) {
    if (connection.out.empty()) Read(connection);
    if (!connection.out.empty()) Write(connection);
  }

  void Read(Connection& connection) {
    char bytes[4096];
    while (true) {
      const ssize_t count = recv(connection.fd, bytes, sizeof(bytes), 0);
      if (count <= 0) {
        const bool later = count < 0 && (errno == EAGAIN || errno == EINTR);
        connection.done = !later;
        return;
      }
      // After the answer only the end of the connection is waited for.
      if (connection.answered) continue;
      connection.in.append(bytes, static_cast<size_t>(count));
      const size_t end = connection.in.find("\r\n\r\n");
      if (end != std::string::npos && end <= limits_.max_head_bytes) {
        connection.out = AnswerRequest(connection.in.substr(0, end), handler_);
      } else if (connection.in.size() > limits_.max_head_bytes) {
        connection.out = FormatAnswer({431, "", ""}, true);
      } else {
        continue;
      }
      connection.answered = true;
      connection.in.clear();
      return;
    }
  }

  void Write(Connection& connection) {
    const ssize_t count =
        send(connection.fd, connection.out.data(), connection.out.size(), MSG_NOSIGNAL);
    if (count < 0) {
      connection.done = errno != EAGAIN && errno != EINTR;
      return;
    }
    connection.out.erase(0, static_cast<size_t>(count));
    // Closing at once could take back what the client has not read yet.
    if (connection.out.empty()) shutdown(connection.fd, SHUT_WR);
  }

  void Drop() {
    const TimePoint now = Now();
    for (auto it = connections_.begin(); it != connections_.end();) {
      if (!it->done && now < it->deadline) {
        ++it;
        continue;
      }
      close(it->fd);
      it = connections_.erase(it);
    }
  }

  const int listening_;
  const int wake_;
  const Handler handler_;
  const HttpLimits limits_;
  std::list<Connection> connections_;  // the oldest first
};

absl::StatusOr<std::unique_ptr<HttpListener>> HttpListener::Start(const HostPort& address,
                                                                  Handler handler,
                                                                  HttpLimits limits) {
  const int listening = Listen(address);
  if (listening < 0) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen on ", address.host, ":", address.port));
  }
  std::unique_ptr<HttpListener> listener(new HttpListener());
  listener->port_ = PortOf(listening);
  listener->loop_ = std::make_unique<Loop>(listening, std::move(handler), limits);
  listener->thread_ = std::thread([loop = listener->loop_.get()] { loop->Run(); });
  return listener;
}

HttpListener::~HttpListener() {
  if (!thread_.joinable()) return;
  loop_->Stop();
  thread_.join();
}

}  // namespace sparsed::server
