#include "clients/cpp/table.h"

#include <algorithm>

#include "clients/cpp/text_cells.h"

namespace sparsed::clients {

std::string RenderTable(const std::vector<std::vector<std::string>>& rows,
                        const std::vector<size_t>& right) {
  std::vector<int> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()), 0);
    for (size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], Columns(row[c]));
  }
  std::string table;
  for (const auto& row : rows) {
    std::string line;
    for (size_t c = 0; c < row.size(); ++c) {
      const std::string padding(static_cast<size_t>(widths[c] - Columns(row[c])), ' ');
      const bool align_right = std::find(right.begin(), right.end(), c) != right.end();
      if (c > 0) line += "  ";
      line += align_right ? padding + row[c] : row[c] + padding;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    table += line + "\n";
  }
  return table;
}

}  // namespace sparsed::clients
