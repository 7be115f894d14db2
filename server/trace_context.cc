#include "server/trace_context.h"

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <vector>

#include "absl/strings/str_split.h"

namespace sparsed::server {
namespace {

constexpr size_t kMaxMembers = 32;
constexpr size_t kMaxStateBytes = 512;
constexpr char kSpace[] = " \t";

bool IsHex(const std::string& text) {
  return text.find_first_not_of("0123456789abcdef") == std::string::npos;
}
bool IsZero(const std::string& text) { return text.find_first_not_of('0') == std::string::npos; }

bool IsKeyCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '*' ||
         c == '/';
}

// A name, or tenant@system.
bool IsStateKey(const std::string& key) {
  const std::vector<std::string> parts = absl::StrSplit(key, '@');
  if (parts.size() > 2) return false;
  const bool tenant = parts.size() == 2;
  const size_t limits[] = {tenant ? size_t{241} : size_t{256}, 14};
  for (size_t i = 0; i < parts.size(); ++i) {
    const std::string& part = parts[i];
    if (part.empty() || part.size() > limits[i]) return false;
    if (!std::all_of(part.begin(), part.end(), IsKeyCharacter)) return false;
    const bool letter = part[0] >= 'a' && part[0] <= 'z';
    const bool digit = part[0] >= '0' && part[0] <= '9';
    if (!letter && !(tenant && i == 0 && digit)) return false;
  }
  return true;
}

bool IsStateValue(const std::string& value) {
  if (value.empty() || value.size() > 256 || value.back() == ' ') return false;
  return std::all_of(value.begin(), value.end(),
                     [](char c) { return c >= ' ' && c <= '~' && c != ',' && c != '='; });
}

}  // namespace

std::optional<TraceContext> ParseTraceParent(const std::string& header) {
  constexpr size_t kBytes = 55;  // 00-<32>-<16>-<2>
  if (header.size() < kBytes) return std::nullopt;
  const std::string version = header.substr(0, 2);
  const std::string trace = header.substr(3, 32);
  const std::string parent = header.substr(36, 16);
  const std::string flags = header.substr(53, 2);
  if (header[2] != '-' || header[35] != '-' || header[52] != '-') return std::nullopt;
  if (!IsHex(version) || !IsHex(trace) || !IsHex(parent) || !IsHex(flags)) return std::nullopt;
  if (version == "ff" || IsZero(trace) || IsZero(parent)) return std::nullopt;
  // Later versions may add fields behind a dash.
  if (header.size() > kBytes && (version == "00" || header[kBytes] != '-')) return std::nullopt;
  return TraceContext{trace, parent};
}

bool IsTraceState(const std::string& header) {
  if (header.empty() || header.size() > kMaxStateBytes) return false;
  size_t members = 0;
  std::vector<std::string> keys;
  for (const absl::string_view raw : absl::StrSplit(header, ',')) {
    std::string member(raw);
    member.erase(0, std::min(member.size(), member.find_first_not_of(kSpace)));
    member.erase(member.find_last_not_of(kSpace) + 1);
    if (member.empty()) continue;
    const size_t equals = member.find('=');
    if (equals == std::string::npos) return false;
    const std::string key = member.substr(0, equals);
    if (!IsStateKey(key) || !IsStateValue(member.substr(equals + 1))) return false;
    if (std::count(keys.begin(), keys.end(), key) > 0) return false;
    keys.push_back(key);
    ++members;
  }
  return members > 0 && members <= kMaxMembers;
}

}  // namespace sparsed::server
