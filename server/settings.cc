#include "server/settings.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/options.h"

namespace sparsed::server {
namespace {

using nlohmann::json;

constexpr char kHidden[] = "(hidden)";

bool HasKind(const json& value, Option::Kind kind) {
  switch (kind) {
    case Option::Kind::kText:
      return value.is_string();
    case Option::Kind::kInteger:
      return value.is_number_integer();
    case Option::Kind::kNumber:
      return value.is_number();
    case Option::Kind::kSwitch:
      return value.is_boolean();
  }
  return false;
}

const char* KindName(Option::Kind kind) {
  switch (kind) {
    case Option::Kind::kText:
      return "a string";
    case Option::Kind::kInteger:
      return "an integer";
    case Option::Kind::kNumber:
      return "a number";
    case Option::Kind::kSwitch:
      return "true or false";
  }
  return "";
}

// The texts of the file's values by Option::name.
std::map<std::string, std::string> ReadFile(const std::string& text, const std::string& name,
                                            const std::vector<Option>& options,
                                            std::vector<std::string>& errors) {
  std::map<std::string, std::string> values;
  const json file = json::parse(text, nullptr, false);
  if (!file.is_object()) {
    errors.push_back(absl::StrCat("--config: ", name, " is not a JSON object"));
    return values;
  }
  for (const auto& [key, value] : file.items()) {
    const Option* found = nullptr;
    for (const Option& option : options) {
      if (option.file_key() == key) found = &option;
    }
    if (found == nullptr) {
      errors.push_back(absl::StrCat("--config: ", name, ": unknown key '", key, "'"));
    } else if (!HasKind(value, found->kind)) {
      errors.push_back(
          absl::StrCat("--config: ", name, ": ", key, ": is not ", KindName(found->kind)));
    } else {
      values[found->name] = value.is_string() ? value.get<std::string>() : value.dump();
    }
  }
  return values;
}

}  // namespace

const char* SourceName(Source source) {
  switch (source) {
    case Source::kDefault:
      return "default";
    case Source::kFile:
      return "file";
    case Source::kEnvironment:
      return "environment";
    case Source::kFlag:
      return "flag";
  }
  return "";
}

Settings ResolveSettings(const std::map<std::string, std::string>& flags,
                         const std::function<const char*(const std::string&)>& environment,
                         const std::optional<std::string>& file, const std::string& file_name) {
  Settings settings;
  const std::vector<Option> options = Options();
  std::map<std::string, std::string> from_file;
  if (file) from_file = ReadFile(*file, file_name, options, settings.errors);
  for (const Option& option : options) {
    const auto flag = flags.find(option.name);
    const char* variable = environment(option.environment());
    const auto value = from_file.find(option.name);
    Source source = Source::kDefault;
    std::string text;
    std::string place = option.flag();
    if (flag != flags.end()) {
      source = Source::kFlag;
      text = flag->second;
    } else if (variable != nullptr && *variable != '\0') {
      source = Source::kEnvironment;
      text = variable;
      absl::StrAppend(&place, " (", option.environment(), ")");
    } else if (value != from_file.end()) {
      source = Source::kFile;
      text = value->second;
      absl::StrAppend(&place, " (", option.file_key(), " in ", file_name, ")");
    }
    settings.sources[option.name] = source;
    if (source == Source::kDefault) continue;
    const std::string wrong = option.set(text, settings.config);
    if (!wrong.empty()) settings.errors.push_back(absl::StrCat(place, ": ", wrong));
  }
  return settings;
}

std::string PrintSettings(const Settings& settings) {
  nlohmann::ordered_json out = nlohmann::ordered_json::object();
  for (const Option& option : Options()) {
    nlohmann::ordered_json value = option.get(settings.config);
    if (option.secret && value != "") value = kHidden;
    out[option.file_key()] = {{"value", value},
                              {"source", SourceName(settings.sources.at(option.name))}};
  }
  return out.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace sparsed::server
