#include "clients/cpp/text_wrap.h"

#include <algorithm>
#include <utility>

#include "clients/cpp/text_cells.h"

namespace sparsed::clients {
namespace {

using CellRow = std::vector<Cell>;

// Fills rows cell by cell; remembers where the current row may be broken.
class Wrapper {
 public:
  explicit Wrapper(int columns) : columns_(std::max(2, columns)) {}

  void Add(const Cell& cell) {
    size_t position = 0;
    char32_t code_point = 0;
    const std::string text = cell.text.empty() ? " " : cell.text;
    NextCodePoint(text, position, code_point);
    if (code_point == '\n') {
      NewRow();
    } else if (code_point == '\t') {
      AddPrintable({" ", cell.mask, cell.committed_at}, 1);
      AddPrintable({" ", cell.mask, cell.committed_at}, 1);
    } else {
      AddPrintable({SafeForTerminal(text), cell.mask, cell.committed_at}, ColumnsOf(code_point));
    }
  }

  std::vector<CellRow> Finish() {
    if (!row_.empty()) NewRow();
    return std::move(rows_);
  }

 private:
  void AddPrintable(Cell cell, int width) {
    const bool blank = cell.text == " ";
    if (used_ + width > columns_) {
      if (blank) {
        NewRow();
        return;
      }
      const bool split = cell.mask || break_ == 0 || break_ == row_.size();
      CellRow rest;
      if (!split) {
        const auto from = row_.begin() + static_cast<std::ptrdiff_t>(break_);
        rest.assign(std::make_move_iterator(from), std::make_move_iterator(row_.end()));
        row_.erase(from, row_.end());
      }
      NewRow();
      row_ = std::move(rest);
      for (const Cell& moved : row_) used_ += Columns(moved.text);
    }
    const bool breakable = blank || cell.mask;
    if (cell.mask) break_ = row_.size();
    used_ += width;
    row_.push_back(std::move(cell));
    if (breakable) break_ = row_.size();
  }

  void NewRow() {
    rows_.push_back(std::move(row_));
    row_.clear();
    used_ = 0;
    break_ = 0;
  }

  const int columns_;
  std::vector<CellRow> rows_;
  CellRow row_;
  int used_ = 0;
  size_t break_ = 0;  // cells of row_ before the last place where it may be broken
};

}  // namespace

std::vector<CellRow> WrapCells(const std::vector<Cell>& cells, int columns) {
  Wrapper wrapper(columns);
  for (const Cell& cell : cells) wrapper.Add(cell);
  return wrapper.Finish();
}

}  // namespace sparsed::clients
