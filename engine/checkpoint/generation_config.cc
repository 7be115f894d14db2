#include "engine/checkpoint/generation_config.h"

#include <algorithm>
#include <iterator>
#include <limits>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/checkpoint/strict_json.h"
#include "engine/status_macros.h"

namespace sparsed::engine {
namespace {

using Json = nlohmann::json;

constexpr uint64_t kMaxBytes = 1 << 20;
constexpr double kMaxDefaultTemperature = 100;
constexpr Remasking kDreamRules[] = {Remasking::kOrigin, Remasking::kMaskgitPlus,
                                     Remasking::kTopkMargin, Remasking::kEntropy};
constexpr int32_t kMaxCount = std::numeric_limits<int32_t>::max();

class Reader {
 public:
  explicit Reader(const Json& json) : json_(json) {}

  // Null where the key is missing or null.
  const Json* Find(const char* key) const {
    const auto found = json_.find(key);
    return found == json_.end() || found->is_null() ? nullptr : &*found;
  }

  absl::Status Unsupported(const char* key, const std::string& supported) const {
    const std::string value = Find(key)->dump(-1, ' ', true, Json::error_handler_t::replace);
    return absl::InvalidArgumentError(
        absl::StrCat(key, " is ", value.substr(0, 200), "; supported: ", supported));
  }

  // Above `least`, or equal to it where that is allowed, and at most `most`.
  absl::StatusOr<std::optional<float>> Real(const char* key, double least, bool equal,
                                            double most) const {
    const Json* value = Find(key);
    if (value == nullptr) return std::optional<float>();
    const double number = value->is_number() ? value->get<double>() : least - 1;
    if (!(number <= most && (equal ? number >= least : number > least))) {
      return Unsupported(key, absl::StrCat("a number ", equal ? "from " : "above ", least,
                                           equal ? " to " : " and up to ", most));
    }
    return std::optional<float>(static_cast<float>(number));
  }

  absl::StatusOr<std::optional<int32_t>> Integer(const char* key, int32_t least) const {
    const Json* value = Find(key);
    if (value == nullptr) return std::optional<int32_t>();
    if (!IsInteger(*value, least, kMaxCount)) {
      return Unsupported(key, absl::StrCat("an integer from ", least, " to ", kMaxCount));
    }
    return std::optional<int32_t>(value->get<int32_t>());
  }

  absl::StatusOr<std::vector<int32_t>> EndTokens(const ModelInfo& info) const {
    const char* key = "eos_token_id";
    const Json* value = Find(key);
    std::vector<int32_t> ids;
    if (value == nullptr) return ids;
    for (const Json& item : value->is_array() ? *value : Json::array({*value})) {
      if (!IsInteger(item, 0, info.vocab_size - 1) || item.get<int32_t>() == info.mask_token_id) {
        return Unsupported(key, absl::StrCat("ids from 0 to ", info.vocab_size - 1, " other than ",
                                             info.mask_token_id, ", the mask token's"));
      }
      ids.push_back(item.get<int32_t>());
    }
    return ids;
  }

 private:
  // Values above the signed range read as negative ones: refused either way.
  static bool IsInteger(const Json& value, int32_t least, int32_t most) {
    return value.is_number_integer() && value.get<int64_t>() >= least &&
           value.get<int64_t>() <= most;
  }

  const Json& json_;
};

}  // namespace

absl::StatusOr<GenerationConfig> ParseGenerationConfig(const std::string& text,
                                                       const ModelInfo& info) {
  SPARSED_ASSIGN_OR_RETURN(const Json json, ParseStrictJson(text));
  if (!json.is_object()) return absl::InvalidArgumentError("not a JSON object");
  const Reader reader(json);
  GenerationConfig config;
  SPARSED_ASSIGN_OR_RETURN(config.end_token_ids, reader.EndTokens(info));
  SPARSED_ASSIGN_OR_RETURN(config.temperature,
                           reader.Real("temperature", 0, /*equal=*/true, kMaxDefaultTemperature));
  SPARSED_ASSIGN_OR_RETURN(config.top_p, reader.Real("top_p", 0, /*equal=*/false, 1));
  SPARSED_ASSIGN_OR_RETURN(config.top_k, reader.Integer("top_k", 0));
  SPARSED_ASSIGN_OR_RETURN(config.steps, reader.Integer("steps", 1));
  SPARSED_ASSIGN_OR_RETURN(config.alg_temp,
                           reader.Real("alg_temp", 0, /*equal=*/true, kMaxDefaultTemperature));
  if (const Json* alg = reader.Find("alg")) {
    const auto* rule =
        std::find_if(std::begin(kDreamRules), std::end(kDreamRules),
                     [alg](Remasking known) { return *alg == RemaskingName(known); });
    if (rule == std::end(kDreamRules)) {
      return reader.Unsupported("alg", "origin, maskgit_plus, topk_margin, entropy, null");
    }
    config.remasking = *rule;
  }
  if (const Json* sample = reader.Find("do_sample")) {
    if (!sample->is_boolean()) return reader.Unsupported("do_sample", "true, false, null");
    if (!sample->get<bool>() && config.temperature.has_value()) config.temperature = 0;
  }
  return config;
}

absl::StatusOr<GenerationConfig> ReadGenerationConfig(const std::string& dir,
                                                      const ModelInfo& info) {
  const std::string path = absl::StrCat(dir, "/generation_config.json");
  const absl::StatusOr<std::string> text = ReadWholeFile(path, kMaxBytes);
  if (absl::IsNotFound(text.status())) return GenerationConfig();
  if (!text.ok()) return text.status();
  absl::StatusOr<GenerationConfig> config = ParseGenerationConfig(*text, info);
  if (!config.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": ", std::string(config.status().message())));
  }
  return config;
}

}  // namespace sparsed::engine
