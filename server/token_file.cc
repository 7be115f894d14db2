#include "server/token_file.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <cctype>
#include <cstddef>
#include <fstream>
#include <iterator>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace sparsed::server {
namespace {

constexpr size_t kDigestDigits = 2 * SHA256_DIGEST_LENGTH;
constexpr size_t kMaxNameBytes = 64;

bool IsName(const std::string& name) {
  if (name.empty() || name.size() > kMaxNameBytes) return false;
  for (const unsigned char c : name) {
    if (std::isgraph(c) == 0) return false;
  }
  return true;
}

bool IsDigest(const std::string& digits) {
  return digits.size() == kDigestDigits &&
         digits.find_first_not_of("0123456789abcdefABCDEF") == std::string::npos;
}

}  // namespace

absl::StatusOr<std::vector<TokenEntry>> ParseTokens(const std::string& text) {
  std::vector<TokenEntry> entries;
  int number = 0;
  for (const absl::string_view raw : absl::StrSplit(text, '\n')) {
    ++number;
    const std::string line(absl::StripAsciiWhitespace(raw));
    if (line.empty() || line[0] == '#') continue;
    const size_t colon = line.rfind(':');
    const std::string name = line.substr(0, colon);
    if (colon == std::string::npos || !IsName(name) || !IsDigest(line.substr(colon + 1))) {
      return absl::InvalidArgumentError(
          absl::StrCat("line ", number, " is not NAME:SHA256 with 64 hexadecimal digits"));
    }
    TokenEntry entry;
    entry.name = name;
    const std::string digest = absl::HexStringToBytes(line.substr(colon + 1));
    std::copy(digest.begin(), digest.end(), entry.digest.begin());
    entries.push_back(std::move(entry));
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

std::optional<std::string> FindToken(const std::vector<TokenEntry>& entries,
                                     const std::string& token) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest;
  SHA256(reinterpret_cast<const unsigned char*>(token.data()), token.size(), digest.data());
  const TokenEntry* found = nullptr;
  for (const TokenEntry& entry : entries) {
    const bool same = CRYPTO_memcmp(entry.digest.data(), digest.data(), digest.size()) == 0;
    if (same) found = &entry;
  }
  if (found == nullptr) return std::nullopt;
  return found->name;
}

}  // namespace sparsed::server
