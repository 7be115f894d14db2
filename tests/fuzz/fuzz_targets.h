// What a fuzzer feeds with bytes. Each target aborts if a parser accepts what it must not.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sparsed::fuzz {

// A whole safetensors file.
void FuzzSafetensors(const uint8_t* data, size_t size);
// The text of a config.json.
void FuzzModelConfig(const uint8_t* data, size_t size);

}  // namespace sparsed::fuzz
