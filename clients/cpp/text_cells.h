// UTF-8 text as the character cells of a terminal.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sparsed::clients {

// What stands for a mask position: U+2591, light shade.
inline constexpr std::string_view kMaskGlyph = "\xE2\x96\x91";

// One code point of `text`, in UTF-8. Bytes that are not UTF-8 come one at a time as U+FFFD.
// Advances `position`, which must be below text.size().
std::string NextCodePoint(std::string_view text, size_t& position, char32_t& code_point);

// The code points of `text`, each in UTF-8.
std::vector<std::string> CodePoints(std::string_view text);

// Columns a code point takes: 0 for combining marks, 2 for wide East Asian characters and emoji.
int ColumnsOf(char32_t code_point);

// Columns `text` takes, control characters counted as 0.
int Columns(std::string_view text);

// `text` without what could move the cursor or change colours: control characters other than
// newline and tab become U+FFFD. What a model writes is never sent to a terminal as it is.
std::string SafeForTerminal(std::string_view text);

}  // namespace sparsed::clients
