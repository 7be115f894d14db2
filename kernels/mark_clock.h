// Backend::Mark and ReadMarks where an operation is done when it returns: by the host's clock.
#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <vector>

namespace sparsed::kernels {

class MarkClock {
 public:
  void Mark(int32_t part) {
    const Clock::time_point now = Clock::now();
    if (part >= 0) {
      const size_t index = static_cast<size_t>(part);
      if (index >= seconds_.size()) seconds_.resize(index + 1);
      seconds_[index] += std::chrono::duration<double>(now - last_).count();
    }
    last_ = now;
  }

  void Read(std::span<double> seconds) {
    for (size_t i = 0; i < seconds_.size() && i < seconds.size(); ++i) seconds[i] += seconds_[i];
    seconds_.clear();
  }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point last_ = Clock::now();
  std::vector<double> seconds_;  // by part
};

}  // namespace sparsed::kernels
