// The bounded queue between the calls and the engine thread.
// Next: server/batcher.h
#pragma once

#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "server/batcher.h"
#include "server/clock.h"
#include "server/errors.h"
#include "server/ticket.h"

namespace sparsed::server {

// Any thread may push or close; one thread, the engine's, takes.
class RequestQueue {
 public:
  // capacity: most requests that wait.
  explicit RequestQueue(int64_t capacity) : capacity_(capacity) {}

  // Never waits. On success the ticket is moved from and *position is the number of requests in
  // front of it. Failures: QueueFull; what Close was given.
  std::optional<Failure> TryPush(Ticket& ticket, uint32_t* position);

  // From now on TryPush fails with `why`. Waiting tickets stay. Later calls change nothing.
  void Close(const Failure& why);
  bool closed() const;
  int64_t size() const;
  int64_t capacity() const { return capacity_; }

  // Blocks until something waits (true) or the queue is closed and empty (false).
  bool WaitForWork();
  std::vector<Waiting> Snapshot() const;
  // Removes and returns these; each must be waiting. now: for the estimate of the drain time.
  std::vector<Ticket> Take(const std::vector<uint64_t>& numbers, TimePoint now);
  std::vector<Ticket> TakeAll();
  // Back to its old place: it could not be started after all. Allowed on a closed queue.
  void PutBack(Ticket ticket);

 private:
  int64_t RetryMs();

  const int64_t capacity_;
  mutable std::mutex mu_;
  std::condition_variable changed_;
  // The members below are guarded by mu_.
  std::map<uint64_t, Ticket> waiting_;  // by number
  uint64_t next_number_ = 1;
  uint64_t refused_ = 0;
  std::optional<Failure> closed_;
  std::optional<TimePoint> last_taken_;
  double seconds_per_ticket_ = 0;  // smoothed time between two that leave
};

}  // namespace sparsed::server
