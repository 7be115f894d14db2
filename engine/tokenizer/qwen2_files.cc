// Qwen2's tokenizer from vocab.json and merges.txt.
// Source: transformers 4.57 models/qwen2/tokenization_qwen2.py and tokenization_utils.py.
#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/status_macros.h"
#include "engine/tokenizer/byte_level.h"
#include "engine/tokenizer/json_object.h"
#include "engine/tokenizer/regex.h"
#include "engine/tokenizer/regex_syntax.h"
#include "engine/tokenizer/tokenizer_definition.h"
#include "engine/tokenizer/utf8.h"
#include "engine/tokenizer/vocabulary_json.h"

namespace sparsed::engine {
namespace {

using Json = nlohmann::json;
using Merges = std::vector<std::pair<std::string, std::string>>;

constexpr char kVocabFile[] = "vocab.json";
constexpr char kQwen2ConfigFile[] = "tokenizer_config.json";
constexpr char kAddedFile[] = "added_tokens.json";

constexpr char kPattern[] =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
    R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";

constexpr std::array<const char*, 3> kClasses = {"Qwen2Tokenizer", "Qwen2TokenizerFast",
                                                 "DreamTokenizer"};

constexpr std::array<const char*, 7> kNamedTokens = {
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"};

// Without one of the bytes some text would have no ids.
absl::Status CheckBytes(const Vocabulary& vocabulary) {
  for (int byte = 0; byte < 256; ++byte) {
    std::string character;
    AppendByteAlphabet(std::string(1, static_cast<char>(byte)), &character);
    if (vocabulary.find(character) == vocabulary.end()) {
      return absl::InvalidArgumentError(
          absl::StrFormat("%s: no token \"%s\" for byte 0x%02X", kVocabFile, character, byte));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Merges> ReadMerges(const std::string& text, const Vocabulary& vocabulary) {
  Merges merges;
  int line_number = 0;
  for (size_t start = 0; start < text.size();) {
    size_t end = text.find('\n', start);
    if (end == std::string::npos) end = text.size();
    std::string line = text.substr(start, end - start);
    start = end + 1;
    ++line_number;
    if (line.ends_with('\r')) line.pop_back();
    if (line.empty() || (line_number == 1 && line.starts_with("#version:"))) continue;
    const auto problem = [&](const std::string& what) {
      return absl::InvalidArgumentError(absl::StrCat("merges.txt: line ", line_number, ": ", what));
    };
    if (!IsValidUtf8(line)) return problem("not valid UTF-8");
    std::pair<std::string, std::string> merge;
    if (!SplitMerge(line, &merge)) {
      return problem(absl::StrCat("\"", line, "\" is not a pair of tokens"));
    }
    for (const std::string& token : {merge.first, merge.second, merge.first + merge.second}) {
      if (vocabulary.find(token) == vocabulary.end()) {
        return problem(absl::StrCat("\"", token, "\" is not in ", kVocabFile));
      }
    }
    merges.push_back(std::move(merge));
  }
  return merges;
}

// "eos_token": a string, or an object with its content. Nothing for null and absent.
absl::StatusOr<std::string> Qwen2TokenText(const Json* value, const JsonObject& config,
                                           const std::string& key) {
  if (value == nullptr || value->is_null()) return std::string();
  if (value->is_string()) return value->get<std::string>();
  SPARSED_ASSIGN_OR_RETURN(const JsonObject object, JsonObject::Of(*value, config.PathOf(key)));
  return object.String("content", "");
}

// The special tokens that tokenizer_config.json names, each with the key that does.
using NamedTokens = std::vector<std::pair<std::string, std::string>>;

absl::StatusOr<NamedTokens> ReadNamedTokens(const JsonObject& config) {
  NamedTokens named;
  for (const char* key : kNamedTokens) {
    SPARSED_ASSIGN_OR_RETURN(std::string text, Qwen2TokenText(config.Find(key), config, key));
    if (!text.empty()) named.emplace_back(key, std::move(text));
  }
  const std::string key = "additional_special_tokens";
  const Json* list = config.Find(key);
  if (list == nullptr) return named;
  if (!list->is_array()) return config.Error(key, "not a list");
  for (size_t i = 0; i < list->size(); ++i) {
    const std::string item = absl::StrCat(key, "[", i, "]");
    SPARSED_ASSIGN_OR_RETURN(std::string text, Qwen2TokenText(&(*list)[i], config, item));
    if (!text.empty()) named.emplace_back(item, std::move(text));
  }
  return named;
}

// What would make another tokenizer of the same files.
absl::Status CheckConfig(const JsonObject& config) {
  SPARSED_ASSIGN_OR_RETURN(const std::string name, config.String("tokenizer_class", kClasses[0]));
  if (std::find(kClasses.begin(), kClasses.end(), name) == kClasses.end()) {
    return config.Error("tokenizer_class",
                        absl::StrCat("\"", name, "\" is not implemented without tokenizer.json"));
  }
  SPARSED_ASSIGN_OR_RETURN(const bool split, config.Bool("split_special_tokens", false));
  if (split) return config.Error("split_special_tokens", "true is not implemented");
  return absl::OkStatus();
}

absl::StatusOr<std::vector<AddedToken>> ReadDecoder(const JsonObject& config) {
  const std::string key = "added_tokens_decoder";
  SPARSED_ASSIGN_OR_RETURN(const JsonObject decoder,
                           JsonObject::Of(*config.Find(key), config.PathOf(key)));
  SPARSED_ASSIGN_OR_RETURN(std::vector<AddedToken> tokens, ParseAddedTokensDecoder(decoder));
  for (const AddedToken& token : tokens) {
    if (token.single_word) {
      return decoder.Error(absl::StrCat(token.id),
                           "single_word is not implemented without tokenizer.json");
    }
  }
  return tokens;
}

// {"<|endoftext|>": 151643, ...}
absl::StatusOr<std::vector<AddedToken>> ReadAddedFile(const JsonObject& file) {
  std::vector<AddedToken> tokens;
  for (const auto& [content, member] : file.value().items()) {
    SPARSED_ASSIGN_OR_RETURN(const int64_t id, file.Integer(content, kMaxTokenId));
    tokens.push_back({.id = static_cast<int32_t>(id), .content = content});
  }
  return tokens;
}

// The added tokens of the files; those that the configuration names are special.
absl::StatusOr<std::vector<AddedToken>> ReadAdded(const std::string& tokenizer_config,
                                                  const std::string& added_tokens_json,
                                                  const Vocabulary& vocabulary) {
  SPARSED_ASSIGN_OR_RETURN(
      const Json config_json,
      ParseJson(tokenizer_config.empty() ? "{}" : tokenizer_config, kQwen2ConfigFile));
  SPARSED_ASSIGN_OR_RETURN(const JsonObject config, JsonObject::Of(config_json, kQwen2ConfigFile));
  SPARSED_RETURN_IF_ERROR(CheckConfig(config));
  SPARSED_ASSIGN_OR_RETURN(const NamedTokens named, ReadNamedTokens(config));
  std::set<std::string> special;
  for (const auto& [key, text] : named) special.insert(text);

  const bool has_decoder = config.Find("added_tokens_decoder") != nullptr;
  std::string file_name = kAddedFile;
  std::vector<AddedToken> tokens;
  if (has_decoder) {
    file_name = config.PathOf("added_tokens_decoder");
    SPARSED_ASSIGN_OR_RETURN(tokens, ReadDecoder(config));
  } else if (!added_tokens_json.empty()) {
    SPARSED_ASSIGN_OR_RETURN(const Json json, ParseJson(added_tokens_json, kAddedFile));
    SPARSED_ASSIGN_OR_RETURN(const JsonObject file, JsonObject::Of(json, kAddedFile));
    SPARSED_ASSIGN_OR_RETURN(tokens, ReadAddedFile(file));
  }
  AddedTokenList list(&vocabulary, kVocabFile);
  for (AddedToken& token : tokens) {
    token.special = token.special || special.count(token.content) > 0;
    SPARSED_RETURN_IF_ERROR(list.Add(token, file_name));
  }
  for (const auto& [key, text] : named) {
    if (list.Has(text)) continue;
    const auto known = vocabulary.find(text);
    if (known == vocabulary.end()) {
      return config.Error(key,
                          absl::StrCat("\"", text, "\" is no added token and not in ", kVocabFile));
    }
    SPARSED_RETURN_IF_ERROR(
        list.Add({.id = known->second, .content = text, .special = true}, config.PathOf(key)));
  }
  return list.Take();
}

absl::StatusOr<std::vector<std::unique_ptr<PreTokenizerStep>>> Qwen2Steps() {
  SPARSED_ASSIGN_OR_RETURN(const std::string pattern, TranslateRegex(kPattern));
  SPARSED_ASSIGN_OR_RETURN(Regex regex, Regex::Compile(pattern));
  std::vector<std::unique_ptr<PreTokenizerStep>> steps;
  steps.push_back(MakeSplitStep(std::move(regex)));
  SPARSED_ASSIGN_OR_RETURN(steps.emplace_back(), MakeByteLevelStep(false, false));
  return steps;
}

}  // namespace

absl::StatusOr<TokenizerDefinition> ParseQwen2Files(const std::string& vocab_json,
                                                    const std::string& merges_txt,
                                                    const std::string& tokenizer_config,
                                                    const std::string& added_tokens_json) {
  SPARSED_ASSIGN_OR_RETURN(const Json vocab, ParseJson(vocab_json, kVocabFile));
  SPARSED_ASSIGN_OR_RETURN(Vocabulary vocabulary, ParseVocabulary(vocab, kVocabFile));
  SPARSED_RETURN_IF_ERROR(CheckBytes(vocabulary));
  SPARSED_ASSIGN_OR_RETURN(const Merges merges, ReadMerges(merges_txt, vocabulary));
  SPARSED_ASSIGN_OR_RETURN(std::vector<AddedToken> added,
                           ReadAdded(tokenizer_config, added_tokens_json, vocabulary));
  SPARSED_ASSIGN_OR_RETURN(auto steps, Qwen2Steps());
  Bpe::Options options;
  options.whole_rank_at_once = true;
  SPARSED_ASSIGN_OR_RETURN(Bpe bpe, Bpe::Create(std::move(vocabulary), merges, options));
  return TokenizerDefinition{std::move(added), true, true, std::move(steps), std::move(bpe)};
}

}  // namespace sparsed::engine
