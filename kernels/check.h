// SPARSED_CHECK aborts on a broken invariant of our own code; never use it for input.
#pragma once

#include <cstdio>
#include <cstdlib>

#define SPARSED_CHECK(condition, message)                                                   \
  do {                                                                                      \
    if (!(condition)) {                                                                     \
      std::fprintf(stderr, "%s:%d: check failed: %s: %s\n", __FILE__, __LINE__, #condition, \
                   message);                                                                \
      std::abort();                                                                         \
    }                                                                                       \
  } while (false)
