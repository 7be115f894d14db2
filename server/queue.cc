#include "server/queue.h"

#include <algorithm>
#include <utility>

namespace sparsed::server {

std::optional<Failure> RequestQueue::TryPush(Ticket& ticket, uint32_t* position) {
  {
    const std::lock_guard lock(mu_);
    if (closed_) return closed_;
    if (static_cast<int64_t>(waiting_.size()) >= capacity_) {
      return QueueFull(capacity_, RetryMs());
    }
    const int64_t tokens = ticket.need.batch_tokens;
    if (!waiting_.empty() && tokens > max_tokens_ - tokens_) {
      return QueueTokensFull(tokens, tokens_, max_tokens_, RetryMs());
    }
    *position = static_cast<uint32_t>(
        std::count_if(waiting_.begin(), waiting_.end(), [&ticket](const auto& entry) {
          return entry.second.valid.priority >= ticket.valid.priority;
        }));
    ticket.number = next_number_++;
    tokens_ += tokens;
    const uint64_t number = ticket.number;
    waiting_.emplace(number, std::move(ticket));
  }
  changed_.notify_one();
  return std::nullopt;
}

void RequestQueue::Close(const Failure& why) {
  {
    const std::lock_guard lock(mu_);
    if (!closed_) closed_ = why;
  }
  changed_.notify_one();
}

bool RequestQueue::closed() const {
  const std::lock_guard lock(mu_);
  return closed_.has_value();
}

int64_t RequestQueue::size() const {
  const std::lock_guard lock(mu_);
  return static_cast<int64_t>(waiting_.size());
}

int64_t RequestQueue::tokens() const {
  const std::lock_guard lock(mu_);
  return tokens_;
}

double RequestQueue::DrainSeconds() const {
  const std::lock_guard lock(mu_);
  return DrainSecondsLocked();
}

bool RequestQueue::WaitForWork() {
  std::unique_lock lock(mu_);
  changed_.wait(lock, [this] { return !waiting_.empty() || closed_.has_value(); });
  return !waiting_.empty();
}

std::vector<Waiting> RequestQueue::Snapshot() const {
  const std::lock_guard lock(mu_);
  std::vector<Waiting> snapshot;
  snapshot.reserve(waiting_.size());
  for (const auto& [number, ticket] : waiting_) {
    snapshot.push_back({number, ticket.valid.priority, ticket.arrival, ticket.deadline,
                        ticket.sink->cancelled(), ticket.need, ticket.least_seconds});
  }
  return snapshot;
}

std::vector<Ticket> RequestQueue::Take(const std::vector<uint64_t>& numbers) {
  std::vector<Ticket> taken;
  if (numbers.empty()) return taken;
  const std::lock_guard lock(mu_);
  for (const uint64_t number : numbers) {
    auto node = waiting_.extract(number);
    tokens_ -= node.mapped().need.batch_tokens;
    taken.push_back(std::move(node.mapped()));
  }
  return taken;
}

std::vector<Ticket> RequestQueue::TakeAll() {
  const std::lock_guard lock(mu_);
  std::vector<Ticket> taken;
  for (auto& [number, ticket] : waiting_) taken.push_back(std::move(ticket));
  waiting_.clear();
  tokens_ = 0;
  return taken;
}

void RequestQueue::PutBack(Ticket ticket) {
  const std::lock_guard lock(mu_);
  const uint64_t number = ticket.number;
  tokens_ += ticket.need.batch_tokens;
  waiting_.emplace(number, std::move(ticket));
}

// While requests come and go, those that run are as far on average at the end of the drain as now,
// so that the engine does the work of those that wait in between.
double RequestQueue::DrainSecondsLocked() const {
  double seconds = 0;
  if (costs_ == nullptr) return seconds;
  for (const auto& [number, ticket] : waiting_) seconds += costs_->ExpectedSeconds(ticket.work);
  return seconds;
}

// Spread, so that clients that were refused together do not come back together.
int64_t RequestQueue::RetryMs() {
  const double jitter = 0.75 + 0.5 * static_cast<double>(++refused_ * 2654435761u % 1024) / 1024;
  const double ms = std::clamp(1000 * DrainSecondsLocked() * jitter, 50.0, 30000.0);
  return static_cast<int64_t>(ms);
}

}  // namespace sparsed::server
