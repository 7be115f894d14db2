// Chooses which waiting requests enter the batch before the next step. Pure.
// Next: server/step_loop.h
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "engine/engine.h"
#include "server/clock.h"
#include "server/errors.h"

namespace sparsed::server {

// What the batcher looks at of a waiting request.
struct Waiting {
  uint64_t number = 0;
  int32_t priority = 0;
  TimePoint arrival;
  TimePoint deadline;
  bool cancelled = false;
  engine::Reservation need;
  double least_seconds = 0;  // it cannot run in less; 0: not known
};

struct Limits {
  int64_t max_running = 0;
  int64_t max_batch_tokens = 0;  // of one step, and so of one request
  int64_t max_mask_cache_bytes = 0;
  int64_t max_running_tokens = 0;  // of all that run; at least max_batch_tokens

  int64_t running_tokens() const { return std::max(max_running_tokens, max_batch_tokens); }
};

// What running requests hold.
struct Holding {
  int64_t running = 0;
  int64_t batch_tokens = 0;
  int64_t mask_cache_bytes = 0;

  Holding& operator+=(const engine::Reservation& need);
};

// A large request takes more than a quarter of a step's tokens.
bool IsLarge(const engine::Reservation& need, const Limits& limits);

struct Admission {
  std::vector<uint64_t> start;  // in this order
  std::vector<uint64_t> expired;
  std::vector<uint64_t> cancelled;
  std::vector<uint64_t> too_late;  // not expired, but could not end in time
};

// Priorities count from -kMaxPriority to kMaxPriority and a second of waiting is worth one, so that
// nothing waits behind newcomers for ever. Among equals the earlier arrival comes first. A request
// that does not fit now keeps its place: nothing behind it overtakes.
// Large requests together, `large` of what is held, leave a quarter of each limit to the others
// (one of them may always run). One that waits for another large one to end is overtaken by those
// behind it that are not large.
inline constexpr int32_t kMaxPriority = 100;
Admission Admit(const std::vector<Waiting>& waiting, const Holding& holding, const Holding& large,
                const Limits& limits, TimePoint now);

// NeverFits where a request needs more than all there is.
std::optional<Failure> CheckFits(const engine::Reservation& need, const Limits& limits);

}  // namespace sparsed::server
