// The server's time. Clocks are arguments, so that tests can turn them.
#pragma once

#include <chrono>
#include <functional>

namespace sparsed::server {

using TimePoint = std::chrono::steady_clock::time_point;
using Duration = std::chrono::steady_clock::duration;
using Clock = std::function<TimePoint()>;  // thread-safe

inline Clock SteadyClock() {
  return [] { return std::chrono::steady_clock::now(); };
}

inline double Seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

inline Duration ToDuration(double seconds) {
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
}

}  // namespace sparsed::server
