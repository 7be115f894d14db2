// Sets of options of sparse attention; docs/quality.md has what they lose and save.
// Next: engine/step_scheduler.h, which makes a plan of the options.
#pragma once

#include <cstdint>

#include "engine/request.h"

namespace sparsed::engine {

enum class SparsePreset : uint8_t {
  kExact,     // full attention
  kBalanced,  // skip 0, a refresh every 8 steps to the end
  kFast,      // the same with a fifth of the blocks
};

// With the mode kAuto, but for kExact's kOff.
SparseParams PresetParams(SparsePreset preset);

}  // namespace sparsed::engine
