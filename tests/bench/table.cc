#include "tests/bench/table.h"

#include <algorithm>
#include <cstdio>

#include "absl/strings/str_format.h"

namespace sparsed::bench {

void PrintTable(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths(rows.front().size(), 0);
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      const int width = static_cast<int>(widths[i]);
      std::printf(i == 0 ? "%-*s" : "  %*s", width, row[i].c_str());
    }
    std::printf("\n");
  }
  std::fflush(stdout);
}

std::string Milliseconds(double seconds) { return Fixed(1e3 * seconds, 2); }

std::string Fixed(double value, int digits) { return absl::StrFormat("%.*f", digits, value); }

std::string Percent(double share) { return absl::StrFormat("%.0f%%", 100 * share); }

}  // namespace sparsed::bench
