// Wraps a canvas to the width of a terminal.
#pragma once

#include <vector>

#include "clients/cpp/canvas.h"

namespace sparsed::clients {

// Rows of at most `columns` columns (at least 2 are assumed). Rows break at newlines, after blanks
// and beside masks, and inside a word only if it is wider than a row. Tabs become two blanks, other
// control characters U+FFFD. A blank that would begin a wrapped row stays at the end of the row
// before, outside its width if need be, and is dropped there.
std::vector<std::vector<Cell>> WrapCells(const std::vector<Cell>& cells, int columns);

}  // namespace sparsed::clients
