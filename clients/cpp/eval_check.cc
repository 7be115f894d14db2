#include "clients/cpp/eval_check.h"

#include <algorithm>

#include "clients/cpp/text_cells.h"

namespace sparsed::clients {
namespace {

// Unicode property White_Space, PropList.txt.
bool IsWhiteSpace(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

// Of normalised text: items never begin or end with more than one blank.
std::vector<std::string> Items(const std::string& text) {
  std::vector<std::string> items;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    items.push_back(NormaliseWhiteSpace(std::string_view(text).substr(begin, end - begin)));
    begin = end + 1;
  }
  return items;
}

}  // namespace

std::vector<uint32_t> CutAtEnd(const std::vector<uint32_t>& ids,
                               const std::vector<uint32_t>& end_ids) {
  const auto end = std::find_first_of(ids.begin(), ids.end(), end_ids.begin(), end_ids.end());
  return {ids.begin(), end};
}

std::string NormaliseWhiteSpace(std::string_view text) {
  std::string result;
  bool pending = false;
  char32_t code_point = 0;
  for (size_t i = 0; i < text.size();) {
    const std::string piece = NextCodePoint(text, i, code_point);
    if (IsWhiteSpace(code_point)) {
      pending = !result.empty();
      continue;
    }
    if (pending) result += ' ';
    pending = false;
    result += piece;
  }
  return result;
}

bool IsCorrect(Checker checker, std::string_view answer, std::string_view prediction) {
  const std::string expected = NormaliseWhiteSpace(answer);
  const std::string actual = NormaliseWhiteSpace(prediction);
  if (checker == Checker::kExact) return expected == actual;
  std::vector<std::string> expected_items = Items(expected);
  std::vector<std::string> actual_items = Items(actual);
  if (checker == Checker::kSet) {
    std::sort(expected_items.begin(), expected_items.end());
    std::sort(actual_items.begin(), actual_items.end());
  }
  return expected_items == actual_items;
}

}  // namespace sparsed::clients
