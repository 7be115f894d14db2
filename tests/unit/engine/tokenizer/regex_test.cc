#include "engine/tokenizer/regex.h"

#include "engine/tokenizer/regex_syntax.h"
#include "tests/unit/engine/tokenizer/test_files.h"

namespace sparsed::testing {
namespace {

using engine::Regex;

std::vector<std::string> Pieces(const std::string& pattern, const std::string& text) {
  const Regex regex = Ok(Regex::Compile(Ok(engine::TranslateRegex(pattern))));
  std::vector<size_t> ends;
  REQUIRE(regex.Split(text, &ends).ok());
  std::vector<std::string> pieces;
  size_t start = 0;
  for (const size_t end : ends) {
    pieces.push_back(text.substr(start, end - start));
    start = end;
  }
  CHECK(start == text.size());
  return pieces;
}
using Strings = std::vector<std::string>;

TEST_CASE("white space is White_Space, not PCRE2's") {
  CHECK(Pieces(R"(\s+)", "a\u0085\u00a0b\u180ec") == Strings{"a", "\u0085\u00a0", "b\u180ec"});
  CHECK(Pieces(R"(\S+)", "\u180e \u3000x") == Strings{"\u180e", " \u3000", "x"});
  CHECK(Pieces(R"([^\s]+)", "\u180e\u2028a") == Strings{"\u180e", "\u2028", "a"});
  CHECK(Pieces(R"([\S]+)", "\u180e\u2028a") == Strings{"\u180e", "\u2028", "a"});
}

TEST_CASE("matches and gaps") {
  CHECK(Pieces("b", "") == Strings{});
  CHECK(Pieces("b", "abcb") == Strings{"a", "b", "c", "b"});
  CHECK(Pieces("x*", "ab") == Strings{"a", "b"});
  CHECK(Pieces("x*", "\u00e9xx\u00e9") == Strings{"\u00e9", "xx", "\u00e9"});
  CHECK(Pieces("(?i:'s)", "a'S'\u017f") == Strings{"a", "'S", "'\u017f"});
  CHECK(Pieces(R"(\p{Han}+)", "a\u4e00\u3001b") == Strings{"a", "\u4e00", "\u3001b"});
  CHECK(Pieces("^b|a$", "a\nb") == Strings{"a", "\n", "b"});
  CHECK(Pieces(R"([\u00e8-\x{ea}]|\x41)", "A\u00e9x") == Strings{"A", "\u00e9", "x"});
}

TEST_CASE("what the two regex libraries read differently is refused") {
  for (const std::string pattern :
       {R"(\bx)",         R"(\h)",   R"(\R)",       R"(\X)",   R"(\K)",      R"(\1)",
        R"(\G)",          R"(\A)",   R"(\z)",       R"(\xe9)", R"(\x{})",    R"(\u12)",
        R"(\x{1234567})", "[a[b]]",  "[[:alpha:]]", "[a&&b]",  "[]",         "[a",
        R"([\W])",        R"([\b])", "(?m:.)",      "(?x)",    "(?<name>a)", "(?i)a",
        "(*UTF)a",        "(?#c)",   "a{2}+",       "a{2}?",   "a{,3}",      "a{b",
        R"(\p{Foo2})",    R"(\p{L)", R"(\pL)",      "a\\"}) {
    INFO(pattern);
    const auto translated = engine::TranslateRegex(pattern);
    REQUIRE_FALSE(translated.ok());
    CHECK(translated.status().code() == absl::StatusCode::kInvalidArgument);
  }
  for (const std::string pattern :
       {"(a", "a)", "*a", "[b-a]", R"(\p{Nonsense})", R"(\x{110000})"}) {
    INFO(pattern);
    CHECK_FALSE(Regex::Compile(Ok(engine::TranslateRegex(pattern))).ok());
  }
}

TEST_CASE("a match without end is an error, not a crash") {
  const Regex regex = Ok(Regex::Compile(Ok(engine::TranslateRegex("(a+)+$(?<=b)"))));
  std::vector<size_t> ends;
  const absl::Status status = regex.Split(std::string(40, 'a') + "c", &ends);
  CHECK(status.code() == absl::StatusCode::kInvalidArgument);
  const Regex nested = Ok(Regex::Compile(Ok(engine::TranslateRegex("(?:(a)|b)*c"))));
  ends.clear();
  CHECK(nested.Split(std::string(200000, 'a'), &ends).code() != absl::StatusCode::kInternal);
}

TEST_CASE("a literal pattern matches itself only") {
  const std::string text = ".*[\\E\u00e9 a0]#\n";
  const Regex regex = Ok(Regex::Compile(engine::LiteralRegex(text)));
  std::vector<size_t> ends;
  REQUIRE(regex.Split("x" + text + "y", &ends).ok());
  CHECK(ends == std::vector<size_t>{1, 1 + text.size(), 2 + text.size()});
}

}  // namespace
}  // namespace sparsed::testing
