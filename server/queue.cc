#include "server/queue.h"

#include <algorithm>
#include <utility>

namespace sparsed::server {

std::optional<Failure> RequestQueue::TryPush(Ticket& ticket, uint32_t* position) {
  {
    const std::lock_guard lock(mu_);
    if (closed_) return closed_;
    if (static_cast<int64_t>(waiting_.size()) >= capacity_) return QueueFull(capacity_, RetryMs());
    *position = static_cast<uint32_t>(
        std::count_if(waiting_.begin(), waiting_.end(), [&ticket](const auto& entry) {
          return entry.second.valid.priority >= ticket.valid.priority;
        }));
    ticket.number = next_number_++;
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
                        ticket.sink->cancelled(), ticket.need});
  }
  return snapshot;
}

std::vector<Ticket> RequestQueue::Take(const std::vector<uint64_t>& numbers, TimePoint now) {
  std::vector<Ticket> taken;
  if (numbers.empty()) return taken;
  const std::lock_guard lock(mu_);
  for (const uint64_t number : numbers) {
    auto node = waiting_.extract(number);
    taken.push_back(std::move(node.mapped()));
  }
  if (last_taken_) {
    constexpr double kWeight = 0.2;  // of the newest interval
    const double seconds = Seconds(now - *last_taken_) / static_cast<double>(taken.size());
    seconds_per_ticket_ += kWeight * (seconds - seconds_per_ticket_);
  }
  last_taken_ = now;
  return taken;
}

std::vector<Ticket> RequestQueue::TakeAll() {
  const std::lock_guard lock(mu_);
  std::vector<Ticket> taken;
  for (auto& [number, ticket] : waiting_) taken.push_back(std::move(ticket));
  waiting_.clear();
  return taken;
}

void RequestQueue::PutBack(Ticket ticket) {
  const std::lock_guard lock(mu_);
  const uint64_t number = ticket.number;
  waiting_.emplace(number, std::move(ticket));
}

// The estimated time until the queue is empty. Spread, so that clients that were refused
// together do not come back together.
int64_t RequestQueue::RetryMs() {
  const double drain_ms = 1000 * seconds_per_ticket_ * static_cast<double>(waiting_.size());
  const double jitter = 0.75 + 0.5 * static_cast<double>(++refused_ * 2654435761u % 1024) / 1024;
  return std::clamp(static_cast<int64_t>(drain_ms * jitter), int64_t{50}, int64_t{30000});
}

}  // namespace sparsed::server
