// Where the time of a step goes.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace sparsed::engine {

enum class StepPart : uint8_t {
  kCopy,  // what goes to the device and comes back
  kEmbed,
  kNorm,
  kLinear,
  kRope,
  kAttention,
  kActivation,
  kHead,
  kSample,
};
inline constexpr size_t kNumStepParts = 9;
inline constexpr std::array<const char*, kNumStepParts> kStepPartNames = {
    "copy", "embed", "norm", "linear", "rope", "attention", "activation", "head", "sample"};

// The last step, for the benchmark and the metrics.
struct StepTimes {
  double total_seconds = 0;  // by the host's clock, from the layout of the batch to its commits
  // On the device, by StepPart; 0 unless EngineOptions::time_parts. What they leave of the total is
  // the host's share: the device had nothing to do.
  std::array<double, kNumStepParts> part_seconds = {};
  int64_t batch_tokens = 0;  // packed rows
  int64_t query_rows = 0;    // of the last layer's attention
  int64_t head_rows = 0;     // with logits
  double seconds(StepPart part) const { return part_seconds[static_cast<size_t>(part)]; }
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
