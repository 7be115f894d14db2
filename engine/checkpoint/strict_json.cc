#include "engine/checkpoint/strict_json.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "engine/status_macros.h"
#include "engine/tokenizer/utf8.h"

namespace sparsed::engine {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxJsonDepth = 64;
constexpr size_t kMaxQuotedBytes = 200;

// Follows the parse events and stops at the first thing that we refuse. The document itself is
// built by a second parse, which then cannot fail.
class Inspector : public nlohmann::json_sax<Json> {
 public:
  const std::string& reason() const { return reason_; }

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(size_t) override { return Enter(); }
  bool start_array(size_t) override { return Enter(); }
  bool end_object() override { return Leave(); }
  bool end_array() override { return Leave(); }

  bool key(string_t& name) override {
    if (keys_.back().insert(name).second) return true;
    reason_ = absl::StrCat("key ", Quoted(name), " appears twice in one object");
    return false;
  }

  bool parse_error(size_t position, const std::string&, const Json::exception&) override {
    reason_ = absl::StrCat("not JSON: syntax error at byte ", position);
    return false;
  }

 private:
  bool Enter() {
    if (keys_.size() == kMaxJsonDepth) {
      reason_ = absl::StrCat("nested deeper than ", kMaxJsonDepth);
      return false;
    }
    keys_.emplace_back();
    return true;
  }
  bool Leave() {
    keys_.pop_back();
    return true;
  }

  std::vector<std::set<std::string>> keys_;  // of every open object; empty for an array
  std::string reason_;
};

}  // namespace

std::string Quoted(std::string_view text) {
  const size_t shown = std::min(text.size(), kMaxQuotedBytes);
  return absl::StrCat("\"", absl::Utf8SafeCEscape(absl::string_view(text.data(), shown)), "\"",
                      shown < text.size() ? "..." : "");
}

absl::StatusOr<Json> ParseStrictJson(std::string_view text) {
  if (!IsValidUtf8(text)) return absl::InvalidArgumentError("not UTF-8");
  // The parser below would skip a byte order mark in silence.
  if (text.substr(0, 3) == "\xEF\xBB\xBF") {
    return absl::InvalidArgumentError("not JSON: starts with a byte order mark");
  }
  Inspector inspector;
  if (!Json::sax_parse(text.begin(), text.end(), &inspector)) {
    return absl::InvalidArgumentError(inspector.reason());
  }
  return Json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
}

absl::StatusOr<std::string> ReadWholeFile(const std::string& path, uint64_t max_bytes) {
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::status(path, error);
  if (status.type() == std::filesystem::file_type::not_found) {
    return absl::NotFoundError(absl::StrCat(path, ": no such file"));
  }
  if (!std::filesystem::is_regular_file(status)) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": not a regular file"));
  }
  const uint64_t size = std::filesystem::file_size(path, error);
  if (error) return absl::InvalidArgumentError(absl::StrCat(path, ": ", error.message()));
  if (size > max_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": ", size, " bytes; at most ", max_bytes, " are read"));
  }
  std::ifstream file(path, std::ios::binary);
  std::string text(size, '\0');
  if (!file || !file.read(text.data(), static_cast<std::streamsize>(size))) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": cannot be read: ", std::strerror(errno)));
  }
  return text;
}

absl::StatusOr<Json> ReadJsonFile(const std::string& path, uint64_t max_bytes) {
  SPARSED_ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(path, max_bytes));
  absl::StatusOr<Json> json = ParseStrictJson(text);
  if (!json.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", json.status().message()));
  }
  return json;
}

}  // namespace sparsed::engine
