#include "engine/tokenizer/pipeline_json.h"

#include <functional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/status_macros.h"
#include "engine/tokenizer/regex.h"
#include "engine/tokenizer/regex_syntax.h"

namespace sparsed::engine {
namespace {

using Json = nlohmann::json;
using Steps = std::vector<std::unique_ptr<PreTokenizerStep>>;

// Sequences inside sequences are followed this deep.
constexpr int kMaxSequenceDepth = 8;

absl::Status UnknownType(const JsonObject& object, const std::string& type) {
  return object.Error("type", absl::StrCat("\"", type, "\" is not implemented"));
}

// Visits `value`, or where it is a Sequence, its parts in order; `list_key` holds them.
absl::Status ForEachPart(
    const Json& value, const std::string& path, const std::string& list_key, int depth,
    const std::function<absl::Status(const JsonObject&, const std::string& type)>& visit) {
  SPARSED_ASSIGN_OR_RETURN(const JsonObject object, JsonObject::Of(value, path));
  SPARSED_ASSIGN_OR_RETURN(const std::string type, object.String("type", ""));
  if (type != "Sequence") return visit(object, type);
  SPARSED_RETURN_IF_ERROR(object.OnlyKeys({"type", list_key.c_str()}));
  const Json* list = object.Find(list_key);
  if (list == nullptr || !list->is_array()) return object.Error(list_key, "not a list");
  if (depth == kMaxSequenceDepth) return object.Error(list_key, "nested too deep");
  for (size_t i = 0; i < list->size(); ++i) {
    SPARSED_RETURN_IF_ERROR(ForEachPart((*list)[i],
                                        object.PathOf(absl::StrCat(list_key, "[", i, "]")),
                                        list_key, depth + 1, visit));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<PreTokenizerStep>> ParseSplit(const JsonObject& object) {
  SPARSED_RETURN_IF_ERROR(object.OnlyKeys({"type", "pattern", "behavior", "invert"}));
  SPARSED_ASSIGN_OR_RETURN(const std::string behavior, object.String("behavior", ""));
  if (behavior != "Isolated") {
    return object.Error("behavior", absl::StrCat("\"", behavior, "\" is not implemented"));
  }
  // With Isolated, matches and gaps are pieces alike, so inverting changes nothing.
  SPARSED_RETURN_IF_ERROR(object.Bool("invert", false).status());
  const Json* pattern = object.Find("pattern");
  if (pattern == nullptr) return object.Error("pattern", "missing");
  SPARSED_ASSIGN_OR_RETURN(const JsonObject kind,
                           JsonObject::Of(*pattern, object.PathOf("pattern")));
  SPARSED_RETURN_IF_ERROR(kind.OnlyKeys({"Regex", "String"}));
  if (pattern->size() != 1) return object.Error("pattern", "neither a Regex nor a String");
  const std::string key = pattern->begin().key();
  SPARSED_ASSIGN_OR_RETURN(const std::string source, kind.String(key, ""));
  absl::StatusOr<std::string> translated =
      key == "Regex" ? TranslateRegex(source) : LiteralRegex(source);
  if (!translated.ok()) return kind.Error(key, std::string(translated.status().message()));
  absl::StatusOr<Regex> regex = Regex::Compile(*translated);
  if (!regex.ok()) return kind.Error(key, std::string(regex.status().message()));
  return MakeSplitStep(std::move(*regex));
}

absl::StatusOr<std::unique_ptr<PreTokenizerStep>> ParseByteLevel(const JsonObject& object) {
  SPARSED_RETURN_IF_ERROR(
      object.OnlyKeys({"type", "add_prefix_space", "trim_offsets", "use_regex"}));
  SPARSED_ASSIGN_OR_RETURN(const bool add_prefix_space, object.Bool("add_prefix_space", true));
  SPARSED_ASSIGN_OR_RETURN(const bool use_regex, object.Bool("use_regex", true));
  return MakeByteLevelStep(add_prefix_space, use_regex);
}

absl::StatusOr<std::unique_ptr<PreTokenizerStep>> ParseDigits(const JsonObject& object) {
  SPARSED_RETURN_IF_ERROR(object.OnlyKeys({"type", "individual_digits"}));
  SPARSED_ASSIGN_OR_RETURN(const bool individual, object.Bool("individual_digits", false));
  return MakeDigitsStep(individual);
}

}  // namespace

absl::StatusOr<bool> ParseNormalizer(const JsonObject& file) {
  const Json* normalizer = file.Find("normalizer");
  if (normalizer == nullptr) return false;
  bool nfc = false;
  SPARSED_RETURN_IF_ERROR(
      ForEachPart(*normalizer, file.PathOf("normalizer"), "normalizers", 0,
                  [&](const JsonObject& object, const std::string& type) -> absl::Status {
                    if (type != "NFC") return UnknownType(object, type);
                    nfc = true;
                    return object.OnlyKeys({"type"});
                  }));
  return nfc;
}

absl::StatusOr<Steps> ParsePreTokenizer(const JsonObject& file) {
  const Json* pre_tokenizer = file.Find("pre_tokenizer");
  if (pre_tokenizer == nullptr) return file.Error("pre_tokenizer", "has no ByteLevel step");
  Steps steps;
  bool byte_level = false;
  const auto add = [&](absl::StatusOr<std::unique_ptr<PreTokenizerStep>> step) -> absl::Status {
    SPARSED_RETURN_IF_ERROR(step.status());
    steps.push_back(*std::move(step));
    return absl::OkStatus();
  };
  SPARSED_RETURN_IF_ERROR(
      ForEachPart(*pre_tokenizer, file.PathOf("pre_tokenizer"), "pretokenizers", 0,
                  [&](const JsonObject& object, const std::string& type) -> absl::Status {
                    if (type == "Split") return add(ParseSplit(object));
                    if (type == "Digits") return add(ParseDigits(object));
                    if (type != "ByteLevel") return UnknownType(object, type);
                    byte_level = true;
                    return add(ParseByteLevel(object));
                  }));
  if (!byte_level) return file.Error("pre_tokenizer", "has no ByteLevel step");
  return steps;
}

absl::Status CheckPostProcessor(const JsonObject& file) {
  const Json* post_processor = file.Find("post_processor");
  if (post_processor == nullptr) return absl::OkStatus();
  return ForEachPart(*post_processor, file.PathOf("post_processor"), "processors", 0,
                     [](const JsonObject& object, const std::string& type) -> absl::Status {
                       const bool known = type == "ByteLevel" || type == "TemplateProcessing";
                       return known ? absl::OkStatus() : UnknownType(object, type);
                     });
}

absl::Status CheckDecoder(const JsonObject& file) {
  const Json* decoder = file.Find("decoder");
  bool byte_level = false;
  if (decoder != nullptr) {
    SPARSED_RETURN_IF_ERROR(
        ForEachPart(*decoder, file.PathOf("decoder"), "decoders", 0,
                    [&](const JsonObject& object, const std::string& type) -> absl::Status {
                      if (type != "ByteLevel") return UnknownType(object, type);
                      byte_level = true;
                      return absl::OkStatus();
                    }));
  }
  return byte_level ? absl::OkStatus() : file.Error("decoder", "has no ByteLevel step");
}

}  // namespace sparsed::engine
