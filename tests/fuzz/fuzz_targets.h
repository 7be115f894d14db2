// What a fuzzer feeds with bytes: the parsers of files. Each target aborts if a parser accepts what
// it must not, or refuses without a reason; it returns whether the bytes were accepted.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sparsed::fuzz {

// A whole safetensors file.
bool FuzzSafetensors(const uint8_t* data, size_t size);
// The text of a config.json.
bool FuzzModelConfig(const uint8_t* data, size_t size);
// The text of a generation_config.json.
bool FuzzGenerationConfig(const uint8_t* data, size_t size);
// The text of a tokenizer.json, which then encodes a text.
bool FuzzTokenizer(const uint8_t* data, size_t size);
// vocab.json, merges.txt, tokenizer_config.json and added_tokens.json, a NUL between two of them.
bool FuzzQwen2Files(const uint8_t* data, size_t size);
// The source of a chat template, which then renders a conversation.
bool FuzzChatTemplate(const uint8_t* data, size_t size);

}  // namespace sparsed::fuzz
