// The bearer tokens that are let in, as the file of --auth-token-file names them.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/caller.h"

namespace sparsed::server {

struct TokenEntry {
  Caller caller;                           // whoever holds the token; the name goes into the log
  std::array<unsigned char, 32> digest{};  // SHA-256 of the token
};

// One NAME:SHA256 a line, the digest in 64 hexadecimal digits; NAME:SHA256:MODEL,MODEL limits the
// token to these models. Blank lines and lines that begin with # are left out. At least one entry.
// Errors: INVALID_ARGUMENT naming the line, never its content; NOT_FOUND.
absl::StatusOr<std::vector<TokenEntry>> ParseTokens(const std::string& text);
absl::StatusOr<std::vector<TokenEntry>> ReadTokenFile(const std::string& path);

// Whose token this is. Takes the same time whichever entry matches, or none. Pure.
std::optional<Caller> FindToken(const std::vector<TokenEntry>& entries, const std::string& token);

}  // namespace sparsed::server
