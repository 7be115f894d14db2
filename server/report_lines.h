// What `check-model` and `plan` print: lines of a name and a value.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/model_report.h"

namespace sparsed::server {

// Lines "name  value", the values below one another.
class ReportLines {
 public:
  template <typename... Parts>
  void Add(const std::string& name, const Parts&... value) {
    lines_.emplace_back(name, absl::StrCat(value...));
  }
  std::string Text() const;

 private:
  std::vector<std::pair<std::string, std::string>> lines_;
};

// "12.0 KiB", or from 1 MiB on in MiB.
std::string SizeText(uint64_t bytes);
// "cpu", or "cpu, int8 weights".
std::string DeviceText(const engine::DeviceNeeds& needs);

}  // namespace sparsed::server
