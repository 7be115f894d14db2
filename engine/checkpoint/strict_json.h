// JSON as a checkpoint may contain it: everything that a lenient reader would let through in
// silence is an error.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace sparsed::engine {

// Never throws. Leading and trailing white space is allowed. Errors: INVALID_ARGUMENT with the
// reason: not UTF-8, a byte order mark, not JSON (with the offset), nested deeper than 64, or a key
// that one object has twice.
absl::StatusOr<nlohmann::json> ParseStrictJson(std::string_view text);

// `text` in quotes for an error message: control characters escaped, cut at 200 bytes.
std::string Quoted(std::string_view text);

// The whole file. Errors: NOT_FOUND; INVALID_ARGUMENT (longer than max_bytes, not a regular file,
// unreadable, or as ParseStrictJson); each names the path.
absl::StatusOr<std::string> ReadWholeFile(const std::string& path, uint64_t max_bytes);
absl::StatusOr<nlohmann::json> ReadJsonFile(const std::string& path, uint64_t max_bytes);

}  // namespace sparsed::engine
