// Rewrites the regular expressions of tokenizer.json for PCRE2.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace sparsed::engine {

// `pattern` is in Oniguruma's Ruby syntax, as the tokenizers library reads it; the result means the
// same to PCRE2 with UTF and UCP. What would mean something else, or is not known to mean the same,
// is refused. Errors: INVALID_ARGUMENT naming the construct and its byte offset.
// Differences handled: \s (PCRE2 adds U+180E), \w, \v, \uHHHH, \p{Script} (PCRE2 takes script
// extensions), ^ and $ (always per line in Ruby).
// Source: the doc/RE file of kkos/oniguruma, pcre2pattern(3) of PCRE2 10.42.
absl::StatusOr<std::string> TranslateRegex(std::string_view pattern);

// A PCRE2 pattern that matches exactly `text`.
std::string LiteralRegex(std::string_view text);

}  // namespace sparsed::engine
