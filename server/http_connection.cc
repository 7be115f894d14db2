#include "server/http_connection.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace sparsed::server {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kSlice(100);
// What a client sends after it has been answered is thrown away for so long: closing at once would
// take the answer from it.
constexpr std::chrono::seconds kLinger(1);

TimePoint SteadyNow() { return std::chrono::steady_clock::now(); }

// What of `events` holds of the socket within `timeout`; errors and hang-ups count as everything.
short Poll(socket_t socket, short events, Duration timeout) {
  pollfd entry = {socket, events, 0};
  const auto wait = std::chrono::ceil<milliseconds>(std::max(timeout, Duration::zero()));
  return poll(&entry, 1, static_cast<int>(wait.count())) > 0 ? entry.revents : short{0};
}

void ToIpAndPort(const sockaddr_storage& address, std::string& ip, int& port) {
  char text[INET6_ADDRSTRLEN] = "";
  if (address.ss_family == AF_INET) {
    sockaddr_in in;
    std::memcpy(&in, &address, sizeof(in));
    inet_ntop(AF_INET, &in.sin_addr, text, sizeof(text));
    port = ntohs(in.sin_port);
  } else if (address.ss_family == AF_INET6) {
    sockaddr_in6 in;
    std::memcpy(&in, &address, sizeof(in));
    inet_ntop(AF_INET6, &in.sin6_addr, text, sizeof(text));
    port = ntohs(in.sin6_port);
  }
  ip = text;
}

}  // namespace

HttpConnection::HttpConnection(socket_t socket, const HttpLimits& limits)
    : socket_(socket), limits_(limits) {
  if (limits.send_buffer_bytes == 0) return;
  setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &limits.send_buffer_bytes,
             sizeof(limits.send_buffer_bytes));
}

bool HttpConnection::WaitForRequest() {
  left_bytes_ = limits_.head_bytes;
  unread_ = false;
  if (begin_ == end_ && !WaitReadable(SteadyNow() + limits_.idle_time)) return false;
  unread_ = true;
  read_end_ = SteadyNow() + limits_.request_time;
  return true;
}

void HttpConnection::HeadDone() { left_bytes_ = limits_.body_bytes; }

bool HttpConnection::alive() const { return Poll(socket_, POLLRDHUP, Duration::zero()) == 0; }

bool HttpConnection::WaitReadable(TimePoint end) const {
  while (!stop_reading_.load() && !aborted_.load()) {
    const Duration left = end - SteadyNow();
    if (Poll(socket_, POLLIN, std::min<Duration>(left, kSlice)) != 0) return true;
    if (left <= Duration::zero()) return false;
  }
  return false;
}

bool HttpConnection::is_readable() const { return begin_ < end_ || WaitReadable(read_end_); }

ssize_t HttpConnection::read(char* data, size_t size) {
  if (left_bytes_ == 0) return -1;
  if (begin_ == end_) {
    if (SteadyNow() >= read_end_ || !WaitReadable(read_end_)) {
      too_slow_ = SteadyNow() >= read_end_;
      return -1;
    }
    const ssize_t got = recv(socket_, buffer_, sizeof(buffer_), MSG_DONTWAIT);
    if (got <= 0) return got;
    begin_ = 0;
    end_ = static_cast<size_t>(got);
  }
  const size_t count = std::min({size, end_ - begin_, left_bytes_});
  std::memcpy(data, buffer_ + begin_, count);
  begin_ += count;
  left_bytes_ -= count;
  return static_cast<ssize_t>(count);
}

ssize_t HttpConnection::write(const char* data, size_t size) {
  const TimePoint end = SteadyNow() + limits_.write_time;
  for (size_t done = 0; done < size;) {
    if (aborted_.load() || (!watched_ && SteadyNow() >= end)) return -1;
    if (Poll(socket_, POLLOUT, kSlice) == 0) continue;
    const ssize_t sent = send(socket_, data + done, size - done, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent >= 0) {
      done += static_cast<size_t>(sent);
    } else if (errno != EAGAIN && errno != EINTR) {
      return -1;
    }
  }
  return static_cast<ssize_t>(size);
}

void HttpConnection::Close() {
  shutdown(socket_, SHUT_WR);
  const TimePoint end = SteadyNow() + kLinger;
  while (unread_ && SteadyNow() < end && WaitReadable(end)) {
    unread_ = recv(socket_, buffer_, sizeof(buffer_), MSG_DONTWAIT) > 0;
  }
  close(socket_);
}

std::string HttpConnection::peer() const {
  std::string ip;
  int port = 0;
  get_remote_ip_and_port(ip, port);
  const bool v6 = ip.find(':') != std::string::npos;
  return v6 ? absl::StrCat("ipv6:[", ip, "]:", port) : absl::StrCat("ipv4:", ip, ":", port);
}

void HttpConnection::get_remote_ip_and_port(std::string& ip, int& port) const {
  sockaddr_storage address = {};
  socklen_t size = sizeof(address);
  getpeername(socket_, reinterpret_cast<sockaddr*>(&address), &size);
  ToIpAndPort(address, ip, port);
}

void HttpConnection::get_local_ip_and_port(std::string& ip, int& port) const {
  sockaddr_storage address = {};
  socklen_t size = sizeof(address);
  getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size);
  ToIpAndPort(address, ip, port);
}

}  // namespace sparsed::server
