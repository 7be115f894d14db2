#include "engine/presets.h"

namespace sparsed::engine {

SparseParams PresetParams(SparsePreset preset) {
  SparseParams params;
  switch (preset) {
    case SparsePreset::kExact:
      params.mode = SparseMode::kOff;
      break;
    case SparsePreset::kBalanced:
      params.skip = 0;
      params.refresh_every = 8;
      params.refresh_until = 1;
      break;
    case SparsePreset::kFast:
      params.skip = 0;
      params.select = 0.2;
      params.refresh_every = 8;
      params.refresh_until = 1;
      break;
  }
  return params;
}

}  // namespace sparsed::engine
