// Which source of a setting wins, and what is wrong with any of them.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "server/config.h"

namespace sparsed::server {

enum class Source { kDefault, kFile, kEnvironment, kFlag };
const char* SourceName(Source source);  // "environment"

struct Settings {
  Config config;
  std::map<std::string, Source> sources;  // by Option::name
  std::vector<std::string> errors;        // each names the flag, the variable or the key
};

// flags: the texts given, by Option::name. environment: null where a variable is not set.
// file: the text of the configuration file, which errors call file_name.
Settings ResolveSettings(const std::map<std::string, std::string>& flags,
                         const std::function<const char*(const std::string&)>& environment,
                         const std::optional<std::string>& file, const std::string& file_name);

// The settings with their sources as JSON, secrets left out.
std::string PrintSettings(const Settings& settings);

}  // namespace sparsed::server
