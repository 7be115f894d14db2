#include "engine/tokenizer/vocabulary_json.h"

#include <charconv>

#include "absl/strings/str_cat.h"
#include "engine/status_macros.h"
#include "engine/tokenizer/tokenizer_definition.h"

namespace sparsed::engine {

using Json = nlohmann::json;

absl::StatusOr<Vocabulary> ParseVocabulary(const Json& value, const std::string& path) {
  SPARSED_ASSIGN_OR_RETURN(const JsonObject object, JsonObject::Of(value, path));
  if (value.empty()) return absl::InvalidArgumentError(absl::StrCat(path, ": empty"));
  Vocabulary vocabulary;
  vocabulary.reserve(value.size());
  std::unordered_map<int64_t, std::string> tokens;
  tokens.reserve(value.size());
  for (const auto& [token, member] : value.items()) {
    SPARSED_ASSIGN_OR_RETURN(const int64_t id, object.Integer(token, kMaxTokenId));
    const auto [other, fresh] = tokens.emplace(id, token);
    if (!fresh) {
      return object.Error(token, absl::StrCat("has the id ", id, " of \"", other->second, "\""));
    }
    vocabulary.emplace(token, static_cast<int32_t>(id));
  }
  return vocabulary;
}

bool SplitMerge(const std::string& line, std::pair<std::string, std::string>* merge) {
  const size_t space = line.find(' ');
  if (space == std::string::npos || line.find(' ', space + 1) != std::string::npos) return false;
  *merge = {line.substr(0, space), line.substr(space + 1)};
  return true;
}

AddedTokenList::AddedTokenList(const Vocabulary* vocabulary, std::string vocabulary_name)
    : vocabulary_(vocabulary), vocabulary_name_(std::move(vocabulary_name)) {
  for (const auto& [token, id] : *vocabulary) contents_.emplace(id, token);
}

absl::Status AddedTokenList::Add(const AddedToken& token, const std::string& path) {
  if (token.content.empty()) return absl::OkStatus();
  const auto problem = [&](const std::string& text) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": \"", token.content, "\" with id ", token.id, ": ", text));
  };
  if (Has(token.content)) return problem("named twice");
  const auto known = vocabulary_->find(token.content);
  if (known != vocabulary_->end() && known->second != token.id) {
    return problem(absl::StrCat(vocabulary_name_, " gives it the id ", known->second));
  }
  const auto [other, fresh] = contents_.emplace(token.id, token.content);
  if (!fresh && other->second != token.content) {
    return problem(absl::StrCat("the id of \"", other->second, "\""));
  }
  added_.insert(token.content);
  tokens_.push_back(token);
  return absl::OkStatus();
}

absl::StatusOr<AddedToken> ParseAddedToken(const JsonObject& object) {
  AddedToken token;
  SPARSED_ASSIGN_OR_RETURN(token.content, object.String("content", ""));
  SPARSED_ASSIGN_OR_RETURN(token.special, object.Bool("special", false));
  SPARSED_ASSIGN_OR_RETURN(token.normalized, object.Bool("normalized", !token.special));
  SPARSED_ASSIGN_OR_RETURN(token.single_word, object.Bool("single_word", false));
  SPARSED_ASSIGN_OR_RETURN(token.lstrip, object.Bool("lstrip", false));
  SPARSED_ASSIGN_OR_RETURN(token.rstrip, object.Bool("rstrip", false));
  return token;
}

absl::StatusOr<std::vector<AddedToken>> ParseAddedTokensDecoder(const JsonObject& decoder) {
  std::vector<AddedToken> tokens;
  for (const auto& [key, member] : decoder.value().items()) {
    SPARSED_ASSIGN_OR_RETURN(const JsonObject object, JsonObject::Of(member, decoder.PathOf(key)));
    SPARSED_ASSIGN_OR_RETURN(AddedToken token, ParseAddedToken(object));
    const char* end = key.data() + key.size();
    const auto parsed = std::from_chars(key.data(), end, token.id);
    if (parsed.ec != std::errc() || parsed.ptr != end || token.id < 0 || token.id > kMaxTokenId) {
      return decoder.Error(key, absl::StrCat("not an id in 0..", kMaxTokenId));
    }
    tokens.push_back(std::move(token));
  }
  return tokens;
}

}  // namespace sparsed::engine
