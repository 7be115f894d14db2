#include "server/token_file.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <fstream>
#include <iterator>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace sparsed::server {
namespace {

constexpr size_t kDigestDigits = 2 * SHA256_DIGEST_LENGTH;
constexpr size_t kMaxNameBytes = 64;

bool IsVisible(absl::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(),
                                      [](unsigned char c) { return std::isgraph(c) != 0; });
}

bool IsDigest(absl::string_view digits) {
  return digits.size() == kDigestDigits &&
         digits.find_first_not_of("0123456789abcdefABCDEF") == absl::string_view::npos;
}

// Names of callers and models may have colons, so the digest is what the parts are told by.
std::optional<TokenEntry> ParseLine(absl::string_view line) {
  size_t colon = line.find(':');
  while (colon != absl::string_view::npos && !IsDigest(line.substr(colon + 1, kDigestDigits))) {
    colon = line.find(':', colon + 1);
  }
  if (colon == absl::string_view::npos) return std::nullopt;
  const absl::string_view name = line.substr(0, colon);
  absl::string_view models = line.substr(colon + 1 + kDigestDigits);
  if (!IsVisible(name) || name.size() > kMaxNameBytes) return std::nullopt;
  TokenEntry entry;
  entry.caller.name = std::string(name);
  const std::string digest = absl::HexStringToBytes(line.substr(colon + 1, kDigestDigits));
  std::copy(digest.begin(), digest.end(), entry.digest.begin());
  if (models.empty()) return entry;
  if (!absl::ConsumePrefix(&models, ":")) return std::nullopt;
  for (const absl::string_view model : absl::StrSplit(models, ',')) {
    if (!IsVisible(model)) return std::nullopt;
    entry.caller.models.emplace_back(model);
  }
  return entry;
}

}  // namespace

absl::StatusOr<std::vector<TokenEntry>> ParseTokens(const std::string& text) {
  std::vector<TokenEntry> entries;
  int number = 0;
  for (const absl::string_view raw : absl::StrSplit(text, '\n')) {
    ++number;
    const absl::string_view line = absl::StripAsciiWhitespace(raw);
    if (line.empty() || line[0] == '#') continue;
    std::optional<TokenEntry> entry = ParseLine(line);
    if (!entry) {
      return absl::InvalidArgumentError(absl::StrCat(
          "line ", number,
          " is not NAME:SHA256 or NAME:SHA256:MODEL,MODEL with 64 hexadecimal digits"));
    }
    entries.push_back(*std::move(entry));
  }
  if (entries.empty()) return absl::InvalidArgumentError("it has no token");
  return entries;
}

absl::StatusOr<std::vector<TokenEntry>> ReadTokenFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return absl::NotFoundError("the file cannot be read");
  const std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  return ParseTokens(text);
}

std::optional<Caller> FindToken(const std::vector<TokenEntry>& entries, const std::string& token) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest;
  SHA256(reinterpret_cast<const unsigned char*>(token.data()), token.size(), digest.data());
  const TokenEntry* found = nullptr;
  for (const TokenEntry& entry : entries) {
    const bool same = CRYPTO_memcmp(entry.digest.data(), digest.data(), digest.size()) == 0;
    if (same) found = &entry;
  }
  if (found == nullptr) return std::nullopt;
  return found->caller;
}

}  // namespace sparsed::server
