#include "engine/tokenizer/json_object.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/checkpoint/strict_json.h"

namespace sparsed::engine {

using Json = nlohmann::json;

absl::StatusOr<JsonObject> JsonObject::Of(const Json& value, const std::string& path) {
  if (!value.is_object()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": not an object"));
  }
  return JsonObject(&value, path);
}

const Json* JsonObject::Find(const std::string& key) const {
  const auto found = value_->find(key);
  return found == value_->end() || found->is_null() ? nullptr : &*found;
}

std::string JsonObject::PathOf(const std::string& key) const {
  return absl::StrCat(path_, path_.ends_with(".json") ? ": " : ".", key);
}

absl::Status JsonObject::Error(const std::string& key, const std::string& problem) const {
  return absl::InvalidArgumentError(absl::StrCat(PathOf(key), ": ", problem));
}

absl::StatusOr<bool> JsonObject::Bool(const std::string& key, bool otherwise) const {
  const Json* member = Find(key);
  if (member == nullptr) return otherwise;
  if (!member->is_boolean()) return Error(key, "not true or false");
  return member->get<bool>();
}

absl::StatusOr<std::string> JsonObject::String(const std::string& key,
                                               const std::string& otherwise) const {
  const Json* member = Find(key);
  if (member == nullptr) return otherwise;
  if (!member->is_string()) return Error(key, "not a string");
  return member->get<std::string>();
}

absl::StatusOr<int64_t> JsonObject::Integer(const std::string& key, int64_t max) const {
  const Json* member = Find(key);
  if (member == nullptr) return Error(key, "missing");
  if (!member->is_number_unsigned() || member->get<uint64_t>() > static_cast<uint64_t>(max)) {
    return Error(key, absl::StrCat("not an integer in 0..", max));
  }
  return static_cast<int64_t>(member->get<uint64_t>());
}

absl::Status JsonObject::OnlyKeys(std::initializer_list<const char*> known) const {
  for (const auto& [key, member] : value_->items()) {
    if (std::find(known.begin(), known.end(), key) == known.end()) {
      return Error(key, "not a known option");
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Json> ParseJson(const std::string& text, const std::string& file) {
  absl::StatusOr<Json> json = ParseStrictJson(text);
  if (!json.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(file, ": ", std::string(json.status().message())));
  }
  return json;
}

}  // namespace sparsed::engine
