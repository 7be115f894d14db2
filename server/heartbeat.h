// Whether the engine thread still gets anywhere.
#pragma once

#include <cstdint>
#include <mutex>

#include "server/clock.h"

namespace sparsed::server {

// How long a step may take before it counts as stuck: `base` for up to 4,096 rows and as much again
// for every further 4,096, or four times the longest step that has ended, whichever is more. Pure.
Duration StallLimit(Duration base, int64_t rows, Duration longest_step);

// Thread-safe; one thread, the engine's, tells of its steps, another of pauses.
class Heartbeat {
 public:
  // rows: packed tokens of the step.
  void StepBegins(TimePoint now, int64_t rows);
  void StepEnded(TimePoint now);
  // The whole process stood still until now: a step that runs counts from now.
  void PauseEnded(TimePoint now);
  // A step has been running for longer than StallLimit.
  bool Stalled(TimePoint now, Duration base) const;

 private:
  mutable std::mutex mu_;
  // The members below are guarded by mu_.
  bool in_step_ = false;
  TimePoint begun_;
  int64_t rows_ = 0;
  Duration longest_step_{};
};

}  // namespace sparsed::server
