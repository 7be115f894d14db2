// UTF-8 and the few Unicode properties that tokenizers and chat templates rely on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace sparsed::engine {

// Replaces every maximal ill-formed sequence by U+FFFD, as Python's bytes.decode("utf-8",
// "replace").
std::string ToValidUtf8(std::string_view bytes);
bool IsValidUtf8(std::string_view bytes);

struct Utf8Char {
  char32_t code = 0xFFFD;
  uint32_t length = 1;     // bytes; of an ill-formed sequence, those that one U+FFFD stands for
  bool valid = false;      // a whole character
  bool truncated = false;  // not valid, but more bytes could make it so
};
// The character that begins at bytes[offset]; offset < bytes.size().
Utf8Char DecodeUtf8(std::string_view bytes, size_t offset);
// The last character of valid, not empty UTF-8.
Utf8Char LastUtf8Char(std::string_view text);
// Appends a code point (not a surrogate, at most U+10FFFF).
void AppendUtf8(char32_t code, std::string* text);

// The Unicode property White_Space: Rust's and Oniguruma's \s.
bool IsWhiteSpace(char32_t code);
// What Python's str.strip() removes: White_Space and U+001C..U+001F.
bool IsPythonSpace(char32_t code);
// General category N: Rust's char::is_numeric.
bool IsNumeric(char32_t code);
// Rust's \w: Alphabetic, M, Nd, Pc, Join_Control.
bool IsWordChar(char32_t code);

// Unicode normalisation form C of valid UTF-8. Time O(n log n), however many combining marks follow
// one another. The tokenizers library has older tables than utf8proc: it leaves combining marks
// assigned after Unicode 9 where they are, which differs where such a mark is out of order.
std::string NormalizeNfc(std::string_view text);

}  // namespace sparsed::engine
