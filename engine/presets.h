// Sets of options of sparse attention, chosen from the measured front of time against loss:
// docs/quality.md. Next: engine/step_scheduler.h, which makes a plan of the options.
#pragma once

#include <cstdint>

#include "engine/request.h"

namespace sparsed::engine {

enum class SparsePreset : uint8_t {
  kExact,     // full attention
  kBalanced,  // loses nothing that could be measured
  kFast,      // a fifth of the blocks
};

// With the mode kAuto, but for kExact's kOff.
SparseParams PresetParams(SparsePreset preset);

}  // namespace sparsed::engine
