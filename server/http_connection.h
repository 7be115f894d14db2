// One HTTP connection's bytes, bounded: so many of a request, within so much time, and a write that
// ends however slowly the client reads.
#pragma once

#include <httplib.h>

#include <atomic>
#include <cstddef>
#include <string>

#include "server/clock.h"

namespace sparsed::server {

struct HttpLimits {
  size_t head_bytes = 0;      // of a request's line and headers
  size_t body_bytes = 0;      // of its body, as it travels
  Duration request_time{};    // from a request's first byte to its last
  Duration idle_time{};       // until its first byte
  Duration write_time{};      // of one write, unless it is watched
  int requests = 1;           // then it is closed
  int send_buffer_bytes = 0;  // of the socket; 0: the system's
};

// Used by one thread, but for what says otherwise. The caller's socket; closed by Close.
class HttpConnection final : public httplib::Stream {
 public:
  HttpConnection(socket_t socket, const HttpLimits& limits);

  // Whether the next request has begun, and its limits with it.
  bool WaitForRequest();
  // The head has been read; the body's limits begin.
  void HeadDone();
  // Whether more of the request may come than has been read.
  void SetUnread(bool unread) { unread_ = unread; }
  // A write that is watched lasts as long as it takes: whoever watches it calls Abort.
  void SetWatched(bool watched) { watched_ = watched; }
  // The client is there: it has not closed its side.
  bool alive() const;
  bool too_slow() const { return too_slow_; }  // the request did not come in time
  // Reads end now, in failure. Any thread.
  void StopReading() { stop_reading_.store(true); }
  // Reads and writes end now, in failure. Any thread.
  void Abort() { aborted_.store(true); }
  // Lets the client have what was written, even if it is still sending.
  void Close();
  std::string peer() const;  // "ipv4:127.0.0.1:5555"

  bool is_readable() const override;
  bool is_writable() const override { return alive() && !aborted_.load(); }
  ssize_t read(char* data, size_t size) override;
  ssize_t write(const char* data, size_t size) override;
  void get_remote_ip_and_port(std::string& ip, int& port) const override;
  void get_local_ip_and_port(std::string& ip, int& port) const override;
  socket_t socket() const override { return socket_; }

 private:
  // Polls in slices, so that flags that other threads set are seen.
  bool WaitReadable(TimePoint end) const;

  const socket_t socket_;
  const HttpLimits limits_;
  char buffer_[4096];
  size_t begin_ = 0;  // of what is in it and not read
  size_t end_ = 0;
  size_t left_bytes_ = 0;  // that may still be read of this head or body
  TimePoint read_end_;
  bool unread_ = false;
  bool watched_ = false;
  bool too_slow_ = false;
  std::atomic<bool> stop_reading_ = false;
  std::atomic<bool> aborted_ = false;
};

}  // namespace sparsed::server
