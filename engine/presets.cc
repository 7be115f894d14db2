#include "engine/presets.h"

namespace sparsed::engine {

SparseParams PresetParams(SparsePreset preset) {
  SparseParams params;
  switch (preset) {
    case SparsePreset::kExact:
      params.mode = SparseMode::kOff;
      break;
    case SparsePreset::kBalanced:
      break;
    case SparsePreset::kFast:
      params.select = 0.2;
      break;
  }
  return params;
}

}  // namespace sparsed::engine
