// Where the time of a step goes.
#pragma once

#include <chrono>
#include <cstdint>

namespace sparsed::engine {

// Seconds of the last step by part, for the benchmark and the metrics. The parts do not quite add
// up to total_seconds: the rest is the host's share. On a backend that works asynchronously a part
// is the time of its issue, and sample_seconds holds the wait for the device.
struct StepTimes {
  double total_seconds = 0;
  double embed_seconds = 0;
  double norm_seconds = 0;
  double linear_seconds = 0;
  double rope_seconds = 0;
  double attention_seconds = 0;
  double activation_seconds = 0;
  double head_seconds = 0;
  double sample_seconds = 0;
  int64_t batch_tokens = 0;
};

// Adds the time since its start, or since the last Lap, to one part after another.
class Stopwatch {
 public:
  void Lap(double& seconds) {
    const Clock::time_point now = Clock::now();
    seconds += std::chrono::duration<double>(now - last_).count();
    last_ = now;
  }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point last_ = Clock::now();
};

}  // namespace sparsed::engine
