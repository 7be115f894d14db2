#include "engine/tokenizer/utf8.h"

#include <utf8proc.h>

#include <algorithm>
#include <vector>

namespace sparsed::engine {
namespace {

// What may follow a lead byte: how many bytes in all, and the range of the second one.
struct LeadByte {
  uint32_t length;  // 0: no lead byte
  uint8_t second_min;
  uint8_t second_max;
};

LeadByte ClassifyLead(uint8_t lead) {
  if (lead < 0x80) return {1, 0, 0};
  if (lead < 0xC2) return {0, 0, 0};
  if (lead < 0xE0) return {2, 0x80, 0xBF};
  if (lead < 0xF0) {
    return {3, static_cast<uint8_t>(lead == 0xE0 ? 0xA0 : 0x80),
            static_cast<uint8_t>(lead == 0xED ? 0x9F : 0xBF)};
  }
  if (lead < 0xF5) {
    return {4, static_cast<uint8_t>(lead == 0xF0 ? 0x90 : 0x80),
            static_cast<uint8_t>(lead == 0xF4 ? 0x8F : 0xBF)};
  }
  return {0, 0, 0};
}

utf8proc_category_t Category(char32_t code) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(code));
}

// Alphabetic although its general category is So.
bool IsAlphabeticSymbol(char32_t code) {
  return (code >= 0x24B6 && code <= 0x24E9) || (code >= 0x1F130 && code <= 0x1F149) ||
         (code >= 0x1F150 && code <= 0x1F169) || (code >= 0x1F170 && code <= 0x1F189);
}

int CombiningClass(utf8proc_int32_t code) { return utf8proc_get_property(code)->combining_class; }

}  // namespace

Utf8Char DecodeUtf8(std::string_view bytes, size_t offset) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(bytes[offset + i]); };
  const uint8_t lead = byte(0);
  const LeadByte expected = ClassifyLead(lead);
  Utf8Char result;
  if (expected.length == 0) return result;
  if (expected.length == 1) return {lead, 1, true, false};
  char32_t code = lead & (0x7Fu >> expected.length);
  for (uint32_t i = 1; i < expected.length; ++i) {
    result.length = i;
    if (offset + i >= bytes.size()) {
      result.truncated = true;
      return result;
    }
    const uint8_t low = i == 1 ? expected.second_min : 0x80;
    const uint8_t high = i == 1 ? expected.second_max : 0xBF;
    if (byte(i) < low || byte(i) > high) return result;
    code = (code << 6) | (byte(i) & 0x3Fu);
  }
  return {code, expected.length, true, false};
}

Utf8Char LastUtf8Char(std::string_view text) {
  size_t start = text.size() - 1;
  while (start > 0 && (static_cast<uint8_t>(text[start]) & 0xC0u) == 0x80u) --start;
  return DecodeUtf8(text, start);
}

void AppendUtf8(char32_t code, std::string* text) {
  const auto append = [text](char32_t byte) { text->push_back(static_cast<char>(byte)); };
  if (code < 0x80) {
    append(code);
  } else if (code < 0x800) {
    append(0xC0 | (code >> 6));
    append(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    append(0xE0 | (code >> 12));
    append(0x80 | ((code >> 6) & 0x3F));
    append(0x80 | (code & 0x3F));
  } else {
    append(0xF0 | (code >> 18));
    append(0x80 | ((code >> 12) & 0x3F));
    append(0x80 | ((code >> 6) & 0x3F));
    append(0x80 | (code & 0x3F));
  }
}

std::string ToValidUtf8(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  for (size_t i = 0; i < bytes.size();) {
    const Utf8Char c = DecodeUtf8(bytes, i);
    if (c.valid) {
      text.append(bytes.substr(i, c.length));
    } else {
      AppendUtf8(0xFFFD, &text);
    }
    i += c.length;
  }
  return text;
}

bool IsValidUtf8(std::string_view bytes) {
  for (size_t i = 0; i < bytes.size();) {
    const Utf8Char c = DecodeUtf8(bytes, i);
    if (!c.valid) return false;
    i += c.length;
  }
  return true;
}

bool IsWhiteSpace(char32_t code) {
  return (code >= 0x09 && code <= 0x0D) || code == 0x20 || code == 0x85 || code == 0xA0 ||
         code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x2028 || code == 0x2029 ||
         code == 0x202F || code == 0x205F || code == 0x3000;
}

bool IsPythonSpace(char32_t code) { return IsWhiteSpace(code) || (code >= 0x1C && code <= 0x1F); }

bool IsNumeric(char32_t code) {
  const utf8proc_category_t category = Category(code);
  return category == UTF8PROC_CATEGORY_ND || category == UTF8PROC_CATEGORY_NL ||
         category == UTF8PROC_CATEGORY_NO;
}

bool IsWordChar(char32_t code) {
  switch (Category(code)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
      return true;
    default:
      return code == 0x200C || code == 0x200D || IsAlphabeticSymbol(code);
  }
}

std::string NormalizeNfc(std::string_view text) {
  const bool ascii =
      std::all_of(text.begin(), text.end(), [](char c) { return static_cast<uint8_t>(c) < 0x80; });
  if (ascii) return std::string(text);

  // utf8proc's own loop orders combining marks in quadratic time, so that part is done here.
  std::vector<utf8proc_int32_t> codes;
  codes.reserve(text.size());
  constexpr auto kOptions =
      static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_DECOMPOSE);
  for (size_t i = 0; i < text.size();) {
    const Utf8Char c = DecodeUtf8(text, i);
    i += c.length;
    utf8proc_int32_t parts[32];
    int boundary = 0;
    const utf8proc_ssize_t count = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c.code),
                                                           parts, 32, kOptions, &boundary);
    if (count > 0 && count <= 32) {
      codes.insert(codes.end(), parts, parts + count);
    } else {
      codes.push_back(static_cast<utf8proc_int32_t>(c.code));
    }
  }
  const auto is_mark = [](utf8proc_int32_t code) { return CombiningClass(code) != 0; };
  for (auto run = codes.begin(); run != codes.end();) {
    run = std::find_if(run, codes.end(), is_mark);
    const auto end = std::find_if_not(run, codes.end(), is_mark);
    std::stable_sort(run, end, [](utf8proc_int32_t a, utf8proc_int32_t b) {
      return CombiningClass(a) < CombiningClass(b);
    });
    run = end;
  }
  const utf8proc_ssize_t length =
      utf8proc_normalize_utf32(codes.data(), static_cast<utf8proc_ssize_t>(codes.size()), kOptions);
  std::string result;
  result.reserve(text.size());
  for (utf8proc_ssize_t i = 0; i < length; ++i) {
    AppendUtf8(static_cast<char32_t>(codes[static_cast<size_t>(i)]), &result);
  }
  return result;
}

}  // namespace sparsed::engine
