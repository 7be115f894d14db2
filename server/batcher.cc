#include "server/batcher.h"

#include <algorithm>

namespace sparsed::server {
namespace {

double Rank(const Waiting& waiting, TimePoint now) {
  return std::clamp(waiting.priority, -kMaxPriority, kMaxPriority) + Seconds(now - waiting.arrival);
}

bool Fits(const Holding& held, const Limits& limits) {
  return held.running <= limits.max_running && held.batch_tokens <= limits.running_tokens() &&
         held.mask_cache_bytes <= limits.max_mask_cache_bytes;
}

// The same for what large requests hold; the quarter left is rounded up.
bool FitsLarge(const Holding& held, const Limits& limits) {
  const auto most = [](int64_t limit) { return limit - (limit + 3) / 4; };
  return held.running == 1 || (held.running <= most(limits.max_running) &&
                               held.batch_tokens <= most(limits.running_tokens()) &&
                               held.mask_cache_bytes <= most(limits.max_mask_cache_bytes));
}

}  // namespace

Holding& Holding::operator+=(const engine::Reservation& need) {
  running += 1;
  batch_tokens += need.batch_tokens;
  mask_cache_bytes += need.mask_cache_bytes;
  return *this;
}

bool IsLarge(const engine::Reservation& need, const Limits& limits) {
  return 4 * need.batch_tokens > limits.max_batch_tokens;
}

Admission Admit(const std::vector<Waiting>& waiting, const Holding& holding, const Holding& large,
                const Limits& limits, TimePoint now) {
  Admission admission;
  std::vector<const Waiting*> order;
  for (const Waiting& one : waiting) {
    if (now >= one.deadline) {
      admission.expired.push_back(one.number);
    } else if (one.cancelled) {
      admission.cancelled.push_back(one.number);
    } else if (Seconds(one.deadline - now) < one.least_seconds) {
      admission.too_late.push_back(one.number);
    } else {
      order.push_back(&one);
    }
  }
  std::sort(order.begin(), order.end(), [now](const Waiting* a, const Waiting* b) {
    const double rank_a = Rank(*a, now);
    const double rank_b = Rank(*b, now);
    return rank_a != rank_b ? rank_a > rank_b : a->number < b->number;
  });

  Holding held = holding;
  Holding held_by_large = large;
  bool large_waits = false;
  for (const Waiting* one : order) {
    const bool is_large = IsLarge(one->need, limits);
    if (is_large && large_waits) continue;
    Holding then_large = held_by_large;
    if (is_large) then_large += one->need;
    if (is_large && !FitsLarge(then_large, limits)) {
      large_waits = true;
      continue;
    }
    Holding then = held;
    then += one->need;
    if (!Fits(then, limits)) break;
    held = then;
    held_by_large = then_large;
    admission.start.push_back(one->number);
  }
  return admission;
}

std::optional<Failure> CheckFits(const engine::Reservation& need, const Limits& limits) {
  if (need.batch_tokens > limits.max_batch_tokens) {
    return NeverFits("max_batch_tokens", need.batch_tokens, limits.max_batch_tokens);
  }
  if (need.mask_cache_bytes > limits.max_mask_cache_bytes) {
    return NeverFits("max_mask_cache_bytes", need.mask_cache_bytes, limits.max_mask_cache_bytes);
  }
  return std::nullopt;
}

}  // namespace sparsed::server
