#include "server/report_lines.h"

#include <algorithm>

#include "absl/strings/str_format.h"

namespace sparsed::server {

std::string ReportLines::Text() const {
  size_t width = 0;
  for (const auto& [name, value] : lines_) width = std::max(width, name.size());
  std::string text;
  for (const auto& [name, value] : lines_) {
    absl::StrAppend(&text, name, std::string(width - name.size() + 2, ' '), value, "\n");
  }
  return text;
}

std::string SizeText(uint64_t bytes) {
  constexpr double kKiB = 1024;
  const auto value = static_cast<double>(bytes);
  return value < kKiB * kKiB ? absl::StrFormat("%.1f KiB", value / kKiB)
                             : absl::StrFormat("%.1f MiB", value / (kKiB * kKiB));
}

std::string DeviceText(const engine::DeviceNeeds& needs) {
  const bool int8 = needs.weights == kernels::WeightType::kInt8;
  return absl::StrCat(needs.device, int8 ? ", int8 weights" : "");
}

}  // namespace sparsed::server
