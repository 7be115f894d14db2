// The normalizer, pre_tokenizer, post_processor and decoder of tokenizer.json.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/tokenizer/json_object.h"
#include "engine/tokenizer/pre_tokenizer.h"

namespace sparsed::engine {

// All take the whole file. Errors: INVALID_ARGUMENT naming the key.
// Whether text is brought to NFC.
absl::StatusOr<bool> ParseNormalizer(const JsonObject& file);
// At least one of the steps is ByteLevel.
absl::StatusOr<std::vector<std::unique_ptr<PreTokenizerStep>>> ParsePreTokenizer(
    const JsonObject& file);
// OK where it can only add special tokens around the text, which this tokenizer never does.
absl::Status CheckPostProcessor(const JsonObject& file);
// OK where it joins the tokens' bytes.
absl::Status CheckDecoder(const JsonObject& file);

}  // namespace sparsed::engine
