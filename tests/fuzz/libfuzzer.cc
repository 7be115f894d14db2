// One target as a libFuzzer program; the build names it, and the header that declares it.
#include SPARSED_FUZZ_HEADER

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  sparsed::fuzz::SPARSED_FUZZ_TARGET(data, size);
  return 0;
}
