// The byte alphabet of byte-level BPE: one printable character for each of the 256 bytes.
// Source: openai/gpt-2 src/encoder.py bytes_to_unicode().
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sparsed::engine {

// Appends the alphabet's character for every byte.
void AppendByteAlphabet(std::string_view bytes, std::string* text);
// The bytes that a token stands for. A token with a character outside the alphabet stands for its
// own UTF-8 bytes, as in the tokenizers library.
std::string BytesOfToken(std::string_view token);

}  // namespace sparsed::engine
