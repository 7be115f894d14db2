// config.json by keys: every value is checked, and a refusal names the key, its value and what is
// supported.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace sparsed::engine {

// A key of which one value is implemented. The class default, which an absent key means, is that
// value where absent_ok; null means it where null_ok.
struct ConfigSwitch {
  const char* key;
  const char* supported;  // as JSON
  bool absent_ok;
  bool null_ok;
};

// Borrows an object. Errors of all: INVALID_ARGUMENT.
class ConfigReader {
 public:
  explicit ConfigReader(const nlohmann::json& config) : config_(config) {}

  bool IsAbsent(const std::string& key) const;
  bool IsNull(const std::string& key) const;  // or absent
  // The error for a key whose value is not supported.
  absl::Status Unsupported(const std::string& key, const std::string& supported) const;

  absl::StatusOr<int32_t> Integer(const std::string& key, int32_t least, int32_t most) const;
  // Above `above` and at most `most`, and a float32.
  absl::StatusOr<float> Real(const std::string& key, double above, double most) const;
  // An absent key, not a null one, means the class default; that must be in range as well.
  absl::StatusOr<int32_t> IntegerOr(const std::string& key, int32_t fallback, int32_t least,
                                    int32_t most) const;
  absl::StatusOr<float> RealOr(const std::string& key, double fallback, double above,
                               double most) const;
  // true, false, or nothing for null and absent.
  absl::StatusOr<std::optional<bool>> OptionalBool(const std::string& key) const;
  // An array of `count` numbers 0 or 1.
  absl::StatusOr<std::vector<bool>> Flags(const std::string& key, int32_t count) const;
  absl::Status CheckSwitches(std::span<const ConfigSwitch> switches) const;

  // Whether the key holds an array with this text in it.
  bool Lists(const std::string& key, const std::string& text) const;
  // Of torch_dtype: "bf16", "f16", "f32"; empty for anything else.
  std::string DTypeName() const;

 private:
  const nlohmann::json& config_;
};

}  // namespace sparsed::engine
