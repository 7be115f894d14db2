// What heads that keep so many columns of their curves cover, and keep.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "engine/mass_budgets.h"

namespace sparsed::engine {

inline double MassOf(std::span<const MassCurve> curves, std::span<const int32_t> counts) {
  double mass = 0;
  for (size_t i = 0; i < curves.size(); ++i) mass += curves[i].mass[counts[i]];
  return mass;
}

inline double KeptOf(std::span<const MassCurve> curves, std::span<const int32_t> counts) {
  double kept = 0;
  for (size_t i = 0; i < curves.size(); ++i) kept += curves[i].kept[counts[i]];
  return kept;
}

}  // namespace sparsed::engine
