#include "server/repeat_limit.h"

#include <chrono>

namespace sparsed::server {
namespace {

bool IsOver(TimePoint begun, TimePoint now) { return now - begun >= std::chrono::seconds(1); }

}  // namespace

std::optional<int64_t> RepeatLimit::Pass(const std::string& event, TimePoint now) {
  Second& second = seconds_.try_emplace(event, Second{now}).first->second;
  const int64_t untold = second.suppressed;
  if (IsOver(second.begun, now)) {
    second = {now, 1, 0};
    return untold;
  }
  if (second.written == kMost) {
    ++second.suppressed;
    return std::nullopt;
  }
  ++second.written;
  return untold;
}

std::vector<std::pair<std::string, int64_t>> RepeatLimit::TakeSuppressed(TimePoint now) {
  std::vector<std::pair<std::string, int64_t>> taken;
  for (auto& [event, second] : seconds_) {
    if (second.suppressed == 0 || !IsOver(second.begun, now)) continue;
    taken.emplace_back(event, std::exchange(second.suppressed, 0));
  }
  return taken;
}

}  // namespace sparsed::server
