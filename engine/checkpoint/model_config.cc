#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/checkpoint/config_reader.h"
#include "engine/checkpoint/strict_json.h"
#include "engine/models/families.h"
#include "engine/status_macros.h"

namespace sparsed::engine {
namespace {

constexpr uint64_t kMaxConfigBytes = 1 << 20;

}  // namespace

absl::StatusOr<ModelInfo> ParseModelConfig(const std::string& json) {
  SPARSED_ASSIGN_OR_RETURN(const nlohmann::json config, ParseStrictJson(json));
  if (!config.is_object()) return absl::InvalidArgumentError("not a JSON object");
  const ConfigReader reader(config);
  SPARSED_ASSIGN_OR_RETURN(const Family* family, FamilyOfConfig(reader));
  SPARSED_ASSIGN_OR_RETURN(ModelInfo info, family->read_config(reader));
  info.family = family->name;
  info.dtype = reader.DTypeName();
  return info;
}

absl::StatusOr<ModelInfo> ReadModelConfig(const std::string& dir) {
  const std::string path = absl::StrCat(dir, "/config.json");
  SPARSED_ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(path, kMaxConfigBytes));
  absl::StatusOr<ModelInfo> info = ParseModelConfig(text);
  if (!info.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", info.status().message()));
  }
  return info;
}

}  // namespace sparsed::engine
