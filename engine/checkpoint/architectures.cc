#include "engine/checkpoint/architectures.h"

#include "absl/strings/str_cat.h"
#include "engine/checkpoint/strict_json.h"

namespace sparsed::engine {

std::vector<std::string> ReadArchitectures(const std::string& dir) {
  constexpr uint64_t kMaxBytes = 1 << 20;
  const auto config = ReadJsonFile(absl::StrCat(dir, "/config.json"), kMaxBytes);
  std::vector<std::string> names;
  if (!config.ok() || !config->is_object()) return names;
  const auto list = config->find("architectures");
  if (list == config->end() || !list->is_array()) return names;
  for (const nlohmann::json& name : *list) {
    if (name.is_string()) names.push_back(name.get<std::string>());
  }
  return names;
}

}  // namespace sparsed::engine
