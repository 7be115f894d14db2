#include "engine/checkpoint/config_reader.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"

namespace sparsed::engine {

using Json = nlohmann::json;

bool ConfigReader::IsAbsent(const std::string& key) const { return !config_.contains(key); }

bool ConfigReader::IsNull(const std::string& key) const {
  return IsAbsent(key) || config_[key].is_null();
}

absl::Status ConfigReader::Unsupported(const std::string& key, const std::string& supported) const {
  const std::string value = IsAbsent(key) ? "absent"
                                          : config_[key].dump(-1, ' ', /*ensure_ascii=*/true,
                                                              Json::error_handler_t::replace);
  constexpr size_t kMaxShown = 200;
  return absl::InvalidArgumentError(absl::StrCat(key, " is ", value.substr(0, kMaxShown),
                                                 value.size() > kMaxShown ? "..." : "",
                                                 "; supported: ", supported));
}

absl::StatusOr<int32_t> ConfigReader::Integer(const std::string& key, int32_t least,
                                              int32_t most) const {
  const std::string supported = absl::StrCat("an integer from ", least, " to ", most);
  if (IsNull(key) || !config_[key].is_number_integer()) return Unsupported(key, supported);
  // Values above the signed range read as negative ones here: refused either way.
  const int64_t value = config_[key].get<int64_t>();
  if (value < least || value > most) return Unsupported(key, supported);
  return static_cast<int32_t>(value);
}

absl::StatusOr<float> ConfigReader::Real(const std::string& key, double above, double most) const {
  const std::string supported = absl::StrCat("a number above ", above, " and up to ", most);
  if (IsNull(key) || !config_[key].is_number()) return Unsupported(key, supported);
  const double value = config_[key].get<double>();
  const float rounded = static_cast<float>(value);
  if (!(value > above && value <= most) || !(rounded > static_cast<float>(above))) {
    return Unsupported(key, supported);
  }
  return rounded;
}

absl::StatusOr<int32_t> ConfigReader::IntegerOr(const std::string& key, int32_t fallback,
                                                int32_t least, int32_t most) const {
  const bool use_fallback = IsAbsent(key) && fallback >= least && fallback <= most;
  return use_fallback ? absl::StatusOr<int32_t>(fallback) : Integer(key, least, most);
}

absl::StatusOr<float> ConfigReader::RealOr(const std::string& key, double fallback, double above,
                                           double most) const {
  return IsAbsent(key) ? absl::StatusOr<float>(static_cast<float>(fallback))
                       : Real(key, above, most);
}

absl::StatusOr<std::optional<bool>> ConfigReader::OptionalBool(const std::string& key) const {
  if (IsNull(key)) return std::optional<bool>();
  if (!config_[key].is_boolean()) return Unsupported(key, "true, false, null");
  return std::optional<bool>(config_[key].get<bool>());
}

absl::StatusOr<std::vector<bool>> ConfigReader::Flags(const std::string& key, int32_t count) const {
  const std::string supported = absl::StrCat("an array of ", count, " numbers 0 or 1");
  if (IsNull(key) || !config_[key].is_array()) return Unsupported(key, supported);
  std::vector<bool> flags;
  for (const Json& item : config_[key]) {
    if (item != 0 && item != 1) return Unsupported(key, supported);
    flags.push_back(item == 1);
  }
  if (flags.size() != static_cast<size_t>(count)) return Unsupported(key, supported);
  return flags;
}

absl::Status ConfigReader::CheckSwitches(std::span<const ConfigSwitch> switches) const {
  for (const ConfigSwitch& item : switches) {
    const bool absent = IsAbsent(item.key);
    const bool ok = absent ? item.absent_ok
                    : config_[item.key].is_null()
                        ? item.null_ok
                        : config_[item.key] == Json::parse(item.supported, nullptr, false);
    if (!ok) return Unsupported(item.key, item.supported);
  }
  return absl::OkStatus();
}

bool ConfigReader::Lists(const std::string& key, const std::string& text) const {
  if (IsNull(key) || !config_[key].is_array()) return false;
  const Json& list = config_[key];
  return std::find(list.begin(), list.end(), text) != list.end();
}

std::string ConfigReader::DTypeName() const {
  const std::string name = config_.contains("torch_dtype") && config_["torch_dtype"].is_string()
                               ? config_["torch_dtype"].get<std::string>()
                               : "";
  if (name == "bfloat16") return "bf16";
  if (name == "float16") return "f16";
  if (name == "float32") return "f32";
  return "";
}

}  // namespace sparsed::engine
