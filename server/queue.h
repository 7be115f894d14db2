// The bounded queue between the calls and the engine thread.
// Next: server/batcher.h
#pragma once

#include <condition_variable>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "server/batcher.h"
#include "server/clock.h"
#include "server/errors.h"
#include "server/step_costs.h"
#include "server/ticket.h"

namespace sparsed::server {

// Any thread may push or close; one thread, the engine's, takes.
class RequestQueue {
 public:
  // capacity: most requests that wait. max_tokens: most packed rows of a step that they would take
  // together; a request that waits alone may have more. costs: for the estimate of the drain time,
  // borrowed; null: unknown.
  explicit RequestQueue(int64_t capacity, int64_t max_tokens = std::numeric_limits<int64_t>::max(),
                        const StepCosts* costs = nullptr)
      : capacity_(capacity), max_tokens_(max_tokens), costs_(costs) {}

  // Never waits. On success the ticket is moved from and *position is the number of requests in
  // front of it. Failures: QueueFull, QueueTokensFull; what Close was given.
  std::optional<Failure> TryPush(Ticket& ticket, uint32_t* position);

  // From now on TryPush fails with `why`. Waiting tickets stay. Later calls change nothing.
  void Close(const Failure& why);
  bool closed() const;
  int64_t size() const;
  int64_t tokens() const;
  // The time until all that wait have been started, by what steps cost lately. 0: not known.
  double DrainSeconds() const;
  int64_t capacity() const { return capacity_; }

  // Blocks until something waits (true) or the queue is closed and empty (false).
  bool WaitForWork();
  std::vector<Waiting> Snapshot() const;
  // Removes and returns these; each must be waiting.
  std::vector<Ticket> Take(const std::vector<uint64_t>& numbers);
  std::vector<Ticket> TakeAll();
  // Back to its old place: it could not be started after all. Allowed on a closed queue.
  void PutBack(Ticket ticket);

 private:
  double DrainSecondsLocked() const;
  int64_t RetryMs();

  const int64_t capacity_;
  const int64_t max_tokens_;
  const StepCosts* const costs_;
  mutable std::mutex mu_;
  std::condition_variable changed_;
  // The members below are guarded by mu_.
  std::map<uint64_t, Ticket> waiting_;  // by number
  uint64_t next_number_ = 1;
  int64_t tokens_ = 0;  // of all that wait
  uint64_t refused_ = 0;
  std::optional<Failure> closed_;
};

}  // namespace sparsed::server
