#include "tests/fuzz/fuzz_targets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  sparsed::fuzz::FuzzModelConfig(data, size);
  return 0;
}
