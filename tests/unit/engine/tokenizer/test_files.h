// What the tokenizer's tests share.
#pragma once

#include <fstream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "engine/tokenizer/tokenizer.h"
#include "tests/golden/gzip_file.h"
#include "tests/testing/catch.h"

namespace sparsed::testing {

inline std::string SourcePath(const std::string& path) {
  return std::string(SPARSED_SOURCE_DIR "/") + path;
}

inline std::string NanoDir() { return SourcePath("deploy/models/nano"); }

inline std::string ReadWholeFile(const std::string& path) {
  INFO(path);
  std::ifstream file(path, std::ios::binary);
  REQUIRE(file.good());
  return std::string(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
}

inline nlohmann::json ParseJsonText(const std::string& text) {
  nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
  REQUIRE_FALSE(json.is_discarded());
  return json;
}

// The value, or a failed test with the error.
template <typename T>
T Ok(absl::StatusOr<T> value) {
  INFO(value.status().ToString());
  REQUIRE(value.ok());
  return *std::move(value);
}

inline void CheckContains(const std::string& text, const std::string& part) {
  INFO("looking for \"" << part << "\" in \"" << text << "\"");
  CHECK(text.find(part) != std::string::npos);
}

// A tokenizer.json of the goldens.
inline nlohmann::json Variant(const std::string& name) {
  const nlohmann::json goldens =
      ParseJsonText(ReadGzipFile(SourcePath("tests/golden/tokenizer/goldens.json.gz")));
  for (const nlohmann::json& variant : goldens["variants"]) {
    if (variant["name"] == name) return variant["tokenizer"];
  }
  FAIL("no variant " << name);
  return {};
}

inline std::unique_ptr<engine::Tokenizer> ParseTokenizer(const nlohmann::json& file) {
  return Ok(engine::Tokenizer::Parse(file.dump(), ""));
}

// A small valid tokenizer.json: bytes a, b, c and space, "ab", "abc", <x> (special) and <y>.
inline nlohmann::json SmallTokenizer() {
  return ParseJsonText(R"({
    "version": "1.0",
    "added_tokens": [
      {"id": 6, "content": "<x>", "special": true, "normalized": false, "single_word": false,
       "lstrip": false, "rstrip": false},
      {"id": 7, "content": "<y>", "special": false, "normalized": false, "single_word": false,
       "lstrip": false, "rstrip": false}],
    "normalizer": {"type": "NFC"},
    "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
      {"type": "Split", "pattern": {"Regex": "c+"}, "behavior": "Isolated", "invert": false},
      {"type": "Digits", "individual_digits": true},
      {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}]},
    "post_processor": null,
    "decoder": {"type": "ByteLevel"},
    "model": {"type": "BPE", "dropout": null, "unk_token": null, "fuse_unk": false,
      "vocab": {"a": 0, "b": 1, "c": 2, "\u0120": 3, "ab": 4, "abc": 5},
      "merges": ["a b", ["ab", "c"]]}})");
}

}  // namespace sparsed::testing
