#include "server/batcher.h"

#include <algorithm>

namespace sparsed::server {
namespace {

double Rank(const Waiting& waiting, TimePoint now) {
  return std::clamp(waiting.priority, -kMaxPriority, kMaxPriority) + Seconds(now - waiting.arrival);
}

}  // namespace

Admission Admit(const std::vector<Waiting>& waiting, const Holding& holding, const Limits& limits,
                TimePoint now) {
  Admission admission;
  std::vector<const Waiting*> order;
  for (const Waiting& one : waiting) {
    if (now >= one.deadline) {
      admission.expired.push_back(one.number);
    } else if (one.cancelled) {
      admission.cancelled.push_back(one.number);
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
  for (const Waiting* one : order) {
    held.running += 1;
    held.batch_tokens += one->need.batch_tokens;
    held.mask_cache_bytes += one->need.mask_cache_bytes;
    if (held.running > limits.max_running || held.batch_tokens > limits.max_batch_tokens ||
        held.mask_cache_bytes > limits.max_mask_cache_bytes) {
      break;
    }
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
