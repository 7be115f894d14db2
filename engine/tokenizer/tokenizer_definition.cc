#include "engine/tokenizer/tokenizer_definition.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/status_macros.h"
#include "engine/tokenizer/json_object.h"
#include "engine/tokenizer/pipeline_json.h"
#include "engine/tokenizer/vocabulary_json.h"

namespace sparsed::engine {
namespace {

using Json = nlohmann::json;
using Merges = std::vector<std::pair<std::string, std::string>>;

constexpr char kTokenizerFile[] = "tokenizer.json";
constexpr char kConfigFile[] = "tokenizer_config.json";

absl::Status Prefixed(const std::string& path, const absl::Status& status) {
  return absl::InvalidArgumentError(absl::StrCat(path, std::string(status.message())));
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

// The tokens of tokenizer_config.json that are not yet in the list.
absl::Status ReadAddedTokensDecoder(const JsonObject& config, AddedTokenList* list) {
  const Json* value = config.Find("added_tokens_decoder");
  if (value == nullptr) return absl::OkStatus();
  const std::string path = config.PathOf("added_tokens_decoder");
  SPARSED_ASSIGN_OR_RETURN(const JsonObject decoder, JsonObject::Of(*value, path));
  SPARSED_ASSIGN_OR_RETURN(const std::vector<AddedToken> tokens, ParseAddedTokensDecoder(decoder));
  for (const AddedToken& token : tokens) {
    if (list->Has(token.content)) continue;
    SPARSED_RETURN_IF_ERROR(list->Add(token, decoder.PathOf(absl::StrCat(token.id))));
  }
  return absl::OkStatus();
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
  AddedTokenList list(&bpe.vocabulary(), "model.vocab");
  SPARSED_RETURN_IF_ERROR(ReadAddedTokens(file, &list));
  if (!tokenizer_config.empty()) {
    SPARSED_ASSIGN_OR_RETURN(const Json config_json, ParseJson(tokenizer_config, kConfigFile));
    SPARSED_ASSIGN_OR_RETURN(const JsonObject config, JsonObject::Of(config_json, kConfigFile));
    SPARSED_RETURN_IF_ERROR(ReadAddedTokensDecoder(config, &list));
  }
  std::vector<AddedToken> added = list.Take();
  return TokenizerDefinition{std::move(added), nfc, false, std::move(steps), std::move(bpe)};
}

}  // namespace sparsed::engine
