// Tables of text.
#pragma once

#include <string>
#include <vector>

namespace sparsed::clients {

// Rows as lines, each column as wide as its widest cell, two blanks between columns, none at the
// end of a line. The columns numbered in `right` (from 0) are aligned right. Widths are terminal
// columns.
std::string RenderTable(const std::vector<std::vector<std::string>>& rows,
                        const std::vector<size_t>& right);

}  // namespace sparsed::clients
