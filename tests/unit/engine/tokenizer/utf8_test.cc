#include "engine/tokenizer/utf8.h"

#include <ctime>

#include "tests/testing/catch.h"

namespace sparsed::engine {
namespace {

using namespace std::string_literals;

TEST_CASE("ToValidUtf8 replaces as Python does") {
  const std::string r = "\xEF\xBF\xBD";
  const std::pair<std::string, std::string> cases[] = {
      {"", ""},
      {"a\x00z"s, "a\x00z"s},
      {"\xC3\xA9\xE4\xBD\xA0\xF0\x9F\x98\x80", "\xC3\xA9\xE4\xBD\xA0\xF0\x9F\x98\x80"},
      {"\x80", r},
      {"\xC3", r},
      {"\xC3(", r + "("},
      {"\xC0\x80", r + r},          // overlong
      {"\xE0\x80\x80", r + r + r},  // overlong
      {"\xE2\x82", r},              // one maximal subpart
      {"\xE2\x82\x41", r + "A"},    //
      {"\xED\xA0\x80", r + r + r},  // surrogate
      {"\xF0\x9F\x98", r},          //
      {"\xF0\x9F\x98\xE2\x82\xAC", r + "\xE2\x82\xAC"},
      {"\xF0\x80\x80\x80", r + r + r + r},  // overlong
      {"\xF4\x90\x80\x80", r + r + r + r},  // above U+10FFFF
      {"\xF5\x80", r + r},
      {"\xFF\xFE", r + r},
      {"\xF4\x8F\xBF\xBF", "\xF4\x8F\xBF\xBF"},
      {"\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41", r + r + r + r + "A"}};
  for (const auto& [bytes, text] : cases) {
    CAPTURE(bytes);
    CHECK(ToValidUtf8(bytes) == text);
    CHECK(IsValidUtf8(bytes) == (bytes == text));
  }
}

TEST_CASE("DecodeUtf8 tells what more bytes could complete") {
  CHECK(DecodeUtf8("\xF0\x9F\x98", 0).truncated);
  CHECK(DecodeUtf8("\xF0\x9F\x98", 0).length == 3);
  CHECK_FALSE(DecodeUtf8("\xF0\x9F\x41", 0).truncated);
  CHECK_FALSE(DecodeUtf8("\xED\xA0", 0).truncated);
  CHECK_FALSE(DecodeUtf8("\x80", 0).truncated);
  CHECK(LastUtf8Char("a\xF0\x9F\x98\x80").code == 0x1F600);
}

TEST_CASE("NFC composes, orders marks and leaves exclusions alone") {
  CHECK(NormalizeNfc("plain") == "plain");
  CHECK(NormalizeNfc("e\u0301") == "\u00e9");
  CHECK(NormalizeNfc("e\u0302\u0323") == "\u1ec7");
  CHECK(NormalizeNfc("\u1112\u1161\u11ab") == "\ud55c");
  CHECK(NormalizeNfc("\u212b\u2126") == "\u00c5\u03a9");
  CHECK(NormalizeNfc("\u0958") == "\u0915\u093c");
  CHECK(NormalizeNfc("a\0e\u0301"s) == "a\0\u00e9"s);
}

TEST_CASE("NFC of a long run of combining marks is not quadratic") {
  std::string text = "a";
  for (int i = 0; i < 100000; ++i) text += i % 2 == 0 ? "\u0301" : "\u0327";
  const std::clock_t start = std::clock();
  const std::string normalized = NormalizeNfc(text);
  CHECK(static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC < 2);
  CHECK(normalized.substr(0, 4) == "\u00e1\u0327");
}

TEST_CASE("character classes") {
  for (const char32_t space :
       {0x09, 0x0B, 0x20, 0x85, 0xA0, 0x1680, 0x2000, 0x200A, 0x2028, 0x3000}) {
    CHECK(IsWhiteSpace(space));
  }
  for (const char32_t other : {0x1C, 0x180E, 0x200B, 0xFEFF, 0x41})
    CHECK_FALSE(IsWhiteSpace(other));
  CHECK(IsPythonSpace(0x1C));
  for (const char32_t number : {0x30, 0xB2, 0xBD, 0x661, 0x2167, 0x3007}) CHECK(IsNumeric(number));
  CHECK_FALSE(IsNumeric(0x4E00));
  for (const char32_t word : {0x41, 0x5F, 0x301, 0x200D, 0x24B6, 0x661, 0x4E00})
    CHECK(IsWordChar(word));
  for (const char32_t other : {0x2D, 0xB2, 0x20, 0x1F600}) CHECK_FALSE(IsWordChar(other));
}

}  // namespace
}  // namespace sparsed::engine
