// Memory of this process, for tests of growth.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <fstream>

#include "tests/testing/sanitizers.h"

namespace sparsed::testing {

inline int64_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  int64_t total_pages = 0;
  int64_t resident_pages = 0;
  statm >> total_pages >> resident_pages;
  return resident_pages * sysconf(_SC_PAGESIZE);
}

// Sanitizers keep what is freed: growth says nothing there.
constexpr bool kResidentMeansHeld = !kSanitizer;

}  // namespace sparsed::testing
