// Tokens and merges as a checkpoint's files list them: what the layouts of a tokenizer share.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/tokenizer/added_tokens.h"
#include "engine/tokenizer/bpe.h"
#include "engine/tokenizer/json_object.h"

namespace sparsed::engine {

// {"token": id, ...}, ids distinct. Errors: INVALID_ARGUMENT naming `path` and the token.
absl::StatusOr<Vocabulary> ParseVocabulary(const nlohmann::json& value, const std::string& path);

// "a b", with one space between; false for anything else.
bool SplitMerge(const std::string& line, std::pair<std::string, std::string>* merge);

// Collects added tokens; keeps contents and ids distinct, and agreeing with the vocabulary, which
// is borrowed and which errors call `vocabulary_name`.
class AddedTokenList {
 public:
  AddedTokenList(const Vocabulary* vocabulary, std::string vocabulary_name);

  bool Has(const std::string& content) const { return added_.count(content) > 0; }
  // A token without content is left out. Errors: INVALID_ARGUMENT naming `path`.
  absl::Status Add(const AddedToken& token, const std::string& path);
  std::vector<AddedToken> Take() { return std::move(tokens_); }

 private:
  const Vocabulary* vocabulary_;
  std::string vocabulary_name_;
  std::unordered_map<int32_t, std::string> contents_;  // by id, of all tokens
  std::unordered_set<std::string> added_;              // contents of tokens_
  std::vector<AddedToken> tokens_;
};

// Content and flags; the id is 0. Errors: INVALID_ARGUMENT naming the member.
absl::StatusOr<AddedToken> ParseAddedToken(const JsonObject& object);

// The tokens of {"151643": {"content": ...}, ...}, tokenizer_config.json's added_tokens_decoder.
// Errors: INVALID_ARGUMENT naming the entry.
absl::StatusOr<std::vector<AddedToken>> ParseAddedTokensDecoder(const JsonObject& decoder);

}  // namespace sparsed::engine
