#include "clients/cpp/text_cells.h"

#include <algorithm>
#include <iterator>

namespace sparsed::clients {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

struct Range {
  char32_t first;
  char32_t last;
};

// Unicode general categories Mn, Me and Cf, the ranges that occur in text; ascending.
constexpr Range kZeroColumns[] = {
    {0x0300, 0x036F}, {0x0483, 0x0489},  {0x0591, 0x05BD}, {0x0610, 0x061A}, {0x064B, 0x065F},
    {0x06D6, 0x06DC}, {0x0900, 0x0902},  {0x0941, 0x0948}, {0x0E31, 0x0E31}, {0x0E34, 0x0E3A},
    {0x0E47, 0x0E4E}, {0x1AB0, 0x1AFF},  {0x1DC0, 0x1DFF}, {0x200B, 0x200F}, {0x202A, 0x202E},
    {0x2060, 0x2064}, {0x20D0, 0x20FF},  {0x3099, 0x309A}, {0xFE00, 0xFE0F}, {0xFE20, 0xFE2F},
    {0xFEFF, 0xFEFF}, {0xE0100, 0xE01EF}};

// East Asian Width W and F, neighbouring ranges joined; ascending.
constexpr Range kTwoColumns[] = {
    {0x1100, 0x115F},   {0x231A, 0x231B},   {0x23E9, 0x23EC},   {0x2614, 0x2615},
    {0x2648, 0x2653},   {0x26A1, 0x26A1},   {0x2705, 0x2705},   {0x270A, 0x270B},
    {0x2728, 0x2728},   {0x274C, 0x274C},   {0x2753, 0x2755},   {0x2E80, 0x303E},
    {0x3041, 0x4DBF},   {0x4E00, 0xA4CF},   {0xA960, 0xA97C},   {0xAC00, 0xD7A3},
    {0xF900, 0xFAFF},   {0xFE30, 0xFE6F},   {0xFF01, 0xFF60},   {0xFFE0, 0xFFE6},
    {0x16FE0, 0x18AFF}, {0x1B000, 0x1B2FF}, {0x1F18E, 0x1F18E}, {0x1F191, 0x1F19A},
    {0x1F200, 0x1F320}, {0x1F32D, 0x1F64F}, {0x1F680, 0x1F6FF}, {0x1F7E0, 0x1F7EB},
    {0x1F90C, 0x1F9FF}, {0x1FA70, 0x1FAFF}, {0x20000, 0x3FFFD}};

template <size_t N>
bool Contains(const Range (&ranges)[N], char32_t code_point) {
  const Range* range = std::lower_bound(std::begin(ranges), std::end(ranges), code_point,
                                        [](const Range& r, char32_t c) { return r.last < c; });
  return range != std::end(ranges) && range->first <= code_point;
}

// Bytes of the sequence that `lead` starts; 0 for a byte that starts none.
size_t SequenceLength(unsigned char lead) {
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead < 0xE0) return 2;
  if (lead >= 0xE0 && lead < 0xF0) return 3;
  if (lead >= 0xF0 && lead < 0xF5) return 4;
  return 0;
}

bool IsControl(char32_t c) { return c < 0x20 || (c >= 0x7F && c < 0xA0); }

}  // namespace

std::string NextCodePoint(std::string_view text, size_t& position, char32_t& code_point) {
  const auto lead = static_cast<unsigned char>(text[position]);
  const size_t length = SequenceLength(lead);
  if (length == 1) {
    code_point = lead;
    return std::string(1, text[position++]);
  }
  constexpr unsigned char kLeadBits[] = {0, 0, 0x1F, 0x0F, 0x07};
  constexpr char32_t kLowest[] = {0, 0, 0x80, 0x800, 0x10000};
  bool valid = length != 0 && position + length <= text.size();
  code_point = valid ? lead & kLeadBits[length] : 0;
  for (size_t i = 1; valid && i < length; ++i) {
    const auto byte = static_cast<unsigned char>(text[position + i]);
    valid = (byte & 0xC0) == 0x80;
    code_point = code_point << 6 | (byte & 0x3F);
  }
  valid = valid && code_point >= kLowest[length] && code_point <= 0x10FFFF &&
          (code_point < 0xD800 || code_point > 0xDFFF);
  if (!valid) {
    ++position;
    code_point = 0xFFFD;
    return std::string(kReplacement);
  }
  const std::string result(text.substr(position, length));
  position += length;
  return result;
}

std::vector<std::string> CodePoints(std::string_view text) {
  std::vector<std::string> result;
  char32_t code_point = 0;
  for (size_t i = 0; i < text.size();) result.push_back(NextCodePoint(text, i, code_point));
  return result;
}

int ColumnsOf(char32_t code_point) {
  if (IsControl(code_point) || Contains(kZeroColumns, code_point)) return 0;
  return Contains(kTwoColumns, code_point) ? 2 : 1;
}

int Columns(std::string_view text) {
  int columns = 0;
  char32_t code_point = 0;
  for (size_t i = 0; i < text.size();) {
    NextCodePoint(text, i, code_point);
    columns += ColumnsOf(code_point);
  }
  return columns;
}

std::string SafeForTerminal(std::string_view text) {
  std::string result;
  char32_t code_point = 0;
  for (size_t i = 0; i < text.size();) {
    const std::string piece = NextCodePoint(text, i, code_point);
    const bool harmless = code_point == '\n' || code_point == '\t' || !IsControl(code_point);
    result += harmless ? piece : std::string(kReplacement);
  }
  return result;
}

}  // namespace sparsed::clients
