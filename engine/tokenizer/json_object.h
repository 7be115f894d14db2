// Checked access to the members of a JSON object; errors name file and path.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "absl/status/statusor.h"

namespace sparsed::engine {

// Borrows the value. `path` begins with the file's name: "tokenizer.json: model.vocab".
class JsonObject {
 public:
  // Errors: INVALID_ARGUMENT (not an object).
  static absl::StatusOr<JsonObject> Of(const nlohmann::json& value, const std::string& path);

  // Null where the member is missing or null.
  const nlohmann::json* Find(const std::string& key) const;
  // Errors of these: INVALID_ARGUMENT (wrong type; for Integer also out of 0..max).
  absl::StatusOr<bool> Bool(const std::string& key, bool otherwise) const;
  absl::StatusOr<std::string> String(const std::string& key, const std::string& otherwise) const;
  absl::StatusOr<int64_t> Integer(const std::string& key, int64_t max) const;
  // Refuses members that are not in the list.
  absl::Status OnlyKeys(std::initializer_list<const char*> known) const;

  const nlohmann::json& value() const { return *value_; }
  std::string PathOf(const std::string& key) const;
  absl::Status Error(const std::string& key, const std::string& problem) const;

 private:
  JsonObject(const nlohmann::json* value, std::string path) : value_(value), path_(path) {}

  const nlohmann::json* value_;
  std::string path_;
};

// The whole of a file. Errors: INVALID_ARGUMENT naming the file, as ParseStrictJson.
absl::StatusOr<nlohmann::json> ParseJson(const std::string& text, const std::string& file);

}  // namespace sparsed::engine
