#include "engine/tokenizer/tokenizer_definition.h"

#include <charconv>
#include <nlohmann/json.hpp>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/status_macros.h"
#include "engine/tokenizer/json_object.h"
#include "engine/tokenizer/pipeline_json.h"
#include "engine/tokenizer/regex.h"
#include "engine/tokenizer/regex_syntax.h"

namespace sparsed::engine {
namespace {

using Json = nlohmann::json;
using Merges = std::vector<std::pair<std::string, std::string>>;

constexpr char kTokenizerFile[] = "tokenizer.json";
constexpr char kConfigFile[] = "tokenizer_config.json";

// Source: transformers models/qwen2/tokenization_qwen2.py.
constexpr char kQwen2Pattern[] =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
    R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";

absl::Status Prefixed(const std::string& path, const absl::Status& status) {
  return absl::InvalidArgumentError(absl::StrCat(path, std::string(status.message())));
}

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

// "a b", with one space between.
bool SplitMerge(const std::string& line, std::pair<std::string, std::string>* merge) {
  const size_t space = line.find(' ');
  if (space == std::string::npos || line.find(' ', space + 1) != std::string::npos) return false;
  *merge = {line.substr(0, space), line.substr(space + 1)};
  return true;
}

absl::StatusOr<Merges> ParseMerges(const Json& value, const std::string& path) {
  if (!value.is_array()) return absl::InvalidArgumentError(absl::StrCat(path, ": not a list"));
  Merges merges;
  merges.reserve(value.size());
  for (size_t i = 0; i < value.size(); ++i) {
    const Json& item = value[i];
    std::pair<std::string, std::string> merge;
    const bool is_pair =
        item.is_array() && item.size() == 2 && item[0].is_string() && item[1].is_string();
    if (is_pair) {
      merge = {item[0].get<std::string>(), item[1].get<std::string>()};
    } else if (!item.is_string() || !SplitMerge(item.get<std::string>(), &merge)) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, "[", i, "]: neither \"a b\" nor a pair of strings"));
    }
    merges.push_back(std::move(merge));
  }
  return merges;
}

absl::StatusOr<Bpe> ParseModel(const JsonObject& file) {
  const Json* value = file.Find("model");
  if (value == nullptr) return file.Error("model", "missing");
  SPARSED_ASSIGN_OR_RETURN(const JsonObject model, JsonObject::Of(*value, file.PathOf("model")));
  SPARSED_RETURN_IF_ERROR(model.OnlyKeys(
      {"type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix",
       "fuse_unk", "byte_fallback", "ignore_merges", "vocab", "merges"}));
  SPARSED_ASSIGN_OR_RETURN(const std::string type, model.String("type", "BPE"));
  if (type != "BPE") return model.Error("type", absl::StrCat("\"", type, "\" is not implemented"));
  if (const Json* dropout = model.Find("dropout");
      dropout != nullptr && !(dropout->is_number() && dropout->get<double>() == 0)) {
    return model.Error("dropout", "is not implemented");
  }
  Bpe::Options options;
  SPARSED_ASSIGN_OR_RETURN(options.unk_token, model.String("unk_token", ""));
  SPARSED_ASSIGN_OR_RETURN(options.continuing_subword_prefix,
                           model.String("continuing_subword_prefix", ""));
  SPARSED_ASSIGN_OR_RETURN(options.end_of_word_suffix, model.String("end_of_word_suffix", ""));
  SPARSED_ASSIGN_OR_RETURN(options.fuse_unk, model.Bool("fuse_unk", false));
  SPARSED_ASSIGN_OR_RETURN(options.byte_fallback, model.Bool("byte_fallback", false));
  SPARSED_ASSIGN_OR_RETURN(options.ignore_merges, model.Bool("ignore_merges", false));
  const Json* vocab = model.Find("vocab");
  const Json* merge_list = model.Find("merges");
  if (vocab == nullptr) return model.Error("vocab", "missing");
  if (merge_list == nullptr) return model.Error("merges", "missing");
  SPARSED_ASSIGN_OR_RETURN(Vocabulary vocabulary, ParseVocabulary(*vocab, model.PathOf("vocab")));
  SPARSED_ASSIGN_OR_RETURN(const Merges merges, ParseMerges(*merge_list, model.PathOf("merges")));
  absl::StatusOr<Bpe> bpe = Bpe::Create(std::move(vocabulary), merges, std::move(options));
  if (!bpe.ok()) return Prefixed(model.PathOf(""), bpe.status());
  return bpe;
}

// Collects added tokens and keeps contents and ids distinct.
class AddedTokenList {
 public:
  explicit AddedTokenList(const Bpe* bpe) : bpe_(bpe) {
    for (const auto& [token, id] : bpe->vocabulary()) contents_.emplace(id, token);
  }

  bool Has(const std::string& content) const { return added_.count(content) > 0; }

  absl::Status Add(const AddedToken& token, const std::string& path) {
    if (token.content.empty()) return absl::OkStatus();
    const auto problem = [&](const std::string& text) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": \"", token.content, "\" with id ", token.id, ": ", text));
    };
    if (Has(token.content)) return problem("named twice");
    const auto known = bpe_->vocabulary().find(token.content);
    if (known != bpe_->vocabulary().end() && known->second != token.id) {
      return problem(absl::StrCat("model.vocab gives it the id ", known->second));
    }
    const auto [other, fresh] = contents_.emplace(token.id, token.content);
    if (!fresh && other->second != token.content) {
      return problem(absl::StrCat("the id of \"", other->second, "\""));
    }
    added_.insert(token.content);
    tokens_.push_back(token);
    return absl::OkStatus();
  }

  std::vector<AddedToken> Take() { return std::move(tokens_); }

 private:
  const Bpe* bpe_;
  std::unordered_map<int32_t, std::string> contents_;  // by id, of all tokens
  std::unordered_set<std::string> added_;              // contents of tokens_
  std::vector<AddedToken> tokens_;
};

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

absl::Status ReadAddedTokens(const JsonObject& file, AddedTokenList* list) {
  const Json* value = file.Find("added_tokens");
  if (value == nullptr) return absl::OkStatus();
  if (!value->is_array()) return file.Error("added_tokens", "not a list");
  for (size_t i = 0; i < value->size(); ++i) {
    const std::string path = file.PathOf(absl::StrCat("added_tokens[", i, "]"));
    SPARSED_ASSIGN_OR_RETURN(const JsonObject object, JsonObject::Of((*value)[i], path));
    SPARSED_ASSIGN_OR_RETURN(AddedToken token, ParseAddedToken(object));
    SPARSED_ASSIGN_OR_RETURN(const int64_t id, object.Integer("id", kMaxTokenId));
    token.id = static_cast<int32_t>(id);
    SPARSED_RETURN_IF_ERROR(list->Add(token, path));
  }
  return absl::OkStatus();
}

// {"151643": {"content": ...}, ...} of tokenizer_config.json: the tokens not yet in the list.
absl::Status ReadAddedTokensDecoder(const JsonObject& config, AddedTokenList* list) {
  const Json* value = config.Find("added_tokens_decoder");
  if (value == nullptr) return absl::OkStatus();
  const std::string path = config.PathOf("added_tokens_decoder");
  SPARSED_ASSIGN_OR_RETURN(const JsonObject decoder, JsonObject::Of(*value, path));
  for (const auto& [key, member] : value->items()) {
    SPARSED_ASSIGN_OR_RETURN(const JsonObject object, JsonObject::Of(member, decoder.PathOf(key)));
    SPARSED_ASSIGN_OR_RETURN(AddedToken token, ParseAddedToken(object));
    const char* end = key.data() + key.size();
    const auto parsed = std::from_chars(key.data(), end, token.id);
    if (parsed.ec != std::errc() || parsed.ptr != end || token.id < 0 || token.id > kMaxTokenId) {
      return decoder.Error(key, absl::StrCat("not an id in 0..", kMaxTokenId));
    }
    if (list->Has(token.content)) continue;
    SPARSED_RETURN_IF_ERROR(list->Add(token, decoder.PathOf(key)));
  }
  return absl::OkStatus();
}

// {"<|endoftext|>": 151643, ...}: the tokens not yet in the list, all special.
absl::Status ReadAddedTokensFile(const JsonObject& file, AddedTokenList* list) {
  for (const auto& [content, member] : file.value().items()) {
    if (list->Has(content)) continue;
    SPARSED_ASSIGN_OR_RETURN(const int64_t id, file.Integer(content, kMaxTokenId));
    const AddedToken token{.id = static_cast<int32_t>(id), .content = content, .special = true};
    SPARSED_RETURN_IF_ERROR(list->Add(token, file.PathOf(content)));
  }
  return absl::OkStatus();
}

Merges ReadMergeLines(const std::string& text, std::string* bad_line) {
  Merges merges;
  for (size_t start = 0; start < text.size();) {
    size_t end = text.find('\n', start);
    if (end == std::string::npos) end = text.size();
    std::string line = text.substr(start, end - start);
    const bool first = start == 0;
    start = end + 1;
    if (line.ends_with('\r')) line.pop_back();
    if (line.empty() || (first && line.starts_with("#version"))) continue;
    std::pair<std::string, std::string> merge;
    if (!SplitMerge(line, &merge)) {
      *bad_line = line;
      return {};
    }
    merges.push_back(std::move(merge));
  }
  return merges;
}

absl::StatusOr<std::vector<std::unique_ptr<PreTokenizerStep>>> Qwen2Steps() {
  SPARSED_ASSIGN_OR_RETURN(const std::string pattern, TranslateRegex(kQwen2Pattern));
  SPARSED_ASSIGN_OR_RETURN(Regex regex, Regex::Compile(pattern));
  std::vector<std::unique_ptr<PreTokenizerStep>> steps;
  steps.push_back(MakeSplitStep(std::move(regex)));
  SPARSED_ASSIGN_OR_RETURN(steps.emplace_back(), MakeByteLevelStep(false, false));
  return steps;
}

}  // namespace

absl::StatusOr<TokenizerDefinition> ParseTokenizerJson(const std::string& tokenizer_json,
                                                       const std::string& tokenizer_config) {
  SPARSED_ASSIGN_OR_RETURN(const Json json, ParseJson(tokenizer_json, kTokenizerFile));
  SPARSED_ASSIGN_OR_RETURN(const JsonObject file, JsonObject::Of(json, kTokenizerFile));
  // truncation and padding are settings of the last program that saved the file; transformers
  // resets them on every call.
  SPARSED_RETURN_IF_ERROR(
      file.OnlyKeys({"version", "truncation", "padding", "added_tokens", "normalizer",
                     "pre_tokenizer", "post_processor", "decoder", "model"}));
  SPARSED_ASSIGN_OR_RETURN(const std::string version, file.String("version", "1.0"));
  if (version != "1.0") return file.Error("version", "not 1.0");
  SPARSED_ASSIGN_OR_RETURN(const bool nfc, ParseNormalizer(file));
  SPARSED_ASSIGN_OR_RETURN(auto steps, ParsePreTokenizer(file));
  SPARSED_RETURN_IF_ERROR(CheckPostProcessor(file));
  SPARSED_RETURN_IF_ERROR(CheckDecoder(file));
  SPARSED_ASSIGN_OR_RETURN(Bpe bpe, ParseModel(file));
  AddedTokenList list(&bpe);
  SPARSED_RETURN_IF_ERROR(ReadAddedTokens(file, &list));
  if (!tokenizer_config.empty()) {
    SPARSED_ASSIGN_OR_RETURN(const Json config_json, ParseJson(tokenizer_config, kConfigFile));
    SPARSED_ASSIGN_OR_RETURN(const JsonObject config, JsonObject::Of(config_json, kConfigFile));
    SPARSED_RETURN_IF_ERROR(ReadAddedTokensDecoder(config, &list));
  }
  std::vector<AddedToken> added = list.Take();
  return TokenizerDefinition{std::move(added), nfc, false, std::move(steps), std::move(bpe)};
}

absl::StatusOr<TokenizerDefinition> ParseQwen2Files(const std::string& vocab_json,
                                                    const std::string& merges_txt,
                                                    const std::string& tokenizer_config,
                                                    const std::string& added_tokens_json) {
  SPARSED_ASSIGN_OR_RETURN(const Json vocab, ParseJson(vocab_json, "vocab.json"));
  SPARSED_ASSIGN_OR_RETURN(Vocabulary vocabulary, ParseVocabulary(vocab, "vocab.json"));
  std::string bad_line;
  const Merges merges = ReadMergeLines(merges_txt, &bad_line);
  if (!bad_line.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("merges.txt: \"", bad_line, "\" is not a pair of tokens"));
  }
  absl::StatusOr<Bpe> bpe = Bpe::Create(std::move(vocabulary), merges, Bpe::Options());
  if (!bpe.ok()) return Prefixed("merges.txt: ", bpe.status());
  AddedTokenList list(&*bpe);
  const std::pair<const std::string*, const char*> files[] = {
      {&tokenizer_config, kConfigFile}, {&added_tokens_json, "added_tokens.json"}};
  for (const auto& [text, name] : files) {
    if (text->empty()) continue;
    SPARSED_ASSIGN_OR_RETURN(const Json json, ParseJson(*text, name));
    SPARSED_ASSIGN_OR_RETURN(const JsonObject file, JsonObject::Of(json, name));
    SPARSED_RETURN_IF_ERROR(name == kConfigFile ? ReadAddedTokensDecoder(file, &list)
                                                : ReadAddedTokensFile(file, &list));
  }
  SPARSED_ASSIGN_OR_RETURN(auto steps, Qwen2Steps());
  std::vector<AddedToken> added = list.Take();
  return TokenizerDefinition{std::move(added), true, true, std::move(steps), *std::move(bpe)};
}

}  // namespace sparsed::engine
