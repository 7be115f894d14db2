#include "server/heartbeat.h"

#include <algorithm>

namespace sparsed::server {

Duration StallLimit(Duration base, int64_t rows, Duration longest_step) {
  constexpr int64_t kRowsPerBase = 4096;
  const int64_t bases = std::max<int64_t>(1, (rows + kRowsPerBase - 1) / kRowsPerBase);
  return std::max<Duration>(base * bases, longest_step * 4);
}

void Heartbeat::StepBegins(TimePoint now, int64_t rows) {
  const std::lock_guard lock(mu_);
  in_step_ = true;
  begun_ = now;
  rows_ = rows;
}

void Heartbeat::StepEnded(TimePoint now) {
  const std::lock_guard lock(mu_);
  in_step_ = false;
  longest_step_ = std::max(longest_step_, now - begun_);
}

void Heartbeat::PauseEnded(TimePoint now) {
  const std::lock_guard lock(mu_);
  begun_ = now;
}

bool Heartbeat::Stalled(TimePoint now, Duration base) const {
  const std::lock_guard lock(mu_);
  return in_step_ && now - begun_ > StallLimit(base, rows_, longest_step_);
}

}  // namespace sparsed::server
