// The one table of settings. Flags, environment variables, the configuration file, the help, the
// documentation and the JSON schema all come from it.
// Next: server/settings.h (which source wins)
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "server/config.h"

namespace sparsed::server {

struct Option {
  enum class Kind { kText, kInteger, kNumber, kSwitch };

  std::string name;    // "queue-requests"
  std::string group;   // heading in the documentation
  Kind kind;           // the type that it has in the configuration file
  std::string values;  // "HOST:PORT", "1 to 4096"
  std::string help;
  bool secret = false;  // not shown by --print-config
  // Takes the text of a flag, a variable or a file's value. Returns what is wrong, or nothing.
  std::function<std::string(const std::string& text, Config& config)> set;
  std::function<nlohmann::ordered_json(const Config& config)> get;

  std::string flag() const { return "--" + name; }
  std::string file_key() const;      // "queue_requests"
  std::string environment() const;   // "SPARSED_QUEUE_REQUESTS"
  std::string default_text() const;  // "256"
};

std::vector<Option> Options();

// The table as a page of Markdown, docs/configuration.md.
std::string OptionsMarkdown();
// JSON schema of the configuration file.
std::string OptionsSchema();

}  // namespace sparsed::server
