#include "clients/cpp/text_wrap.h"

#include <string>

#include "clients/cpp/text_cells.h"
#include "tests/testing/catch.h"

namespace sparsed::clients {
namespace {

// Wraps text in which '#' is a mask.
std::vector<std::string> Wrap(const std::string& text, int columns) {
  std::vector<Cell> cells;
  for (const std::string& piece : CodePoints(text)) cells.push_back({piece, piece == "#", 0});
  std::vector<std::string> lines;
  for (const auto& row : WrapCells(cells, columns)) {
    std::string line;
    for (const Cell& cell : row) line += cell.text;
    lines.push_back(line);
    CHECK(Columns(line) <= columns);
  }
  return lines;
}

using Lines = std::vector<std::string>;

TEST_CASE("rows break after blanks") {
  CHECK(Wrap("the quick brown fox", 10) == Lines{"the quick ", "brown fox"});
  CHECK(Wrap("the quick brown fox", 9) == Lines{"the quick", "brown fox"});
  CHECK(Wrap("abc", 3) == Lines{"abc"});
  CHECK(Wrap("", 10) == Lines{});
}

TEST_CASE("a word wider than a row is split") {
  CHECK(Wrap("abcdefgh", 3) == Lines{"abc", "def", "gh"});
  CHECK(Wrap("a bcdefg", 4) == Lines{"a ", "bcde", "fg"});
}

TEST_CASE("rows break beside masks") {
  CHECK(Wrap("#####", 2) == Lines{"##", "##", "#"});
  CHECK(Wrap("ab##cd", 3) == Lines{"ab#", "#cd"});
  CHECK(Wrap("ab#cdef", 5) == Lines{"ab#", "cdef"});
}

TEST_CASE("newlines end rows, empty ones too") {
  CHECK(Wrap("a\n\nb\n", 9) == Lines{"a", "", "b"});
  CHECK(Wrap("\na", 9) == Lines{"", "a"});
}

TEST_CASE("wide characters count two, tabs become blanks, controls are replaced") {
  CHECK(Wrap("東京東", 4) == Lines{"東京", "東"});
  CHECK(Wrap("東京東", 5) == Lines{"東京", "東"});
  CHECK(Wrap("a\tb", 9) == Lines{"a  b"});
  CHECK(Wrap("a\x1b[1mb", 20) == Lines{"a\xEF\xBF\xBD[1mb"});
}

}  // namespace
}  // namespace sparsed::clients
