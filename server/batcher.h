// Chooses which waiting requests enter the batch before the next step. Pure.
// Next: server/step_loop.h
#pragma once

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
};

struct Limits {
  int64_t max_running = 0;
  int64_t max_batch_tokens = 0;
  int64_t max_mask_cache_bytes = 0;
};

// What running requests hold.
struct Holding {
  int64_t running = 0;
  int64_t batch_tokens = 0;
  int64_t mask_cache_bytes = 0;
};

struct Admission {
  std::vector<uint64_t> start;  // in this order
  std::vector<uint64_t> expired;
  std::vector<uint64_t> cancelled;
};

// Priorities count from -kMaxPriority to kMaxPriority and a second of waiting is worth one, so that
// nothing waits behind newcomers for ever. Among equals the earlier arrival comes first. A request
// that does not fit now keeps its place: nothing behind it overtakes.
inline constexpr int32_t kMaxPriority = 100;
Admission Admit(const std::vector<Waiting>& waiting, const Holding& holding, const Limits& limits,
                TimePoint now);

// NeverFits where a request needs more than all there is.
std::optional<Failure> CheckFits(const engine::Reservation& need, const Limits& limits);

}  // namespace sparsed::server
