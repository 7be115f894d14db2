#include "clients/cpp/eval_check.h"

#include "tests/testing/catch.h"

namespace sparsed::clients {
namespace {

using Ids = std::vector<uint32_t>;

TEST_CASE("a canvas is cut before its first end token") {
  const Ids end = {4, 1};
  CHECK(CutAtEnd({7, 8, 4, 9, 1}, end) == Ids{7, 8});
  CHECK(CutAtEnd({7, 1, 4, 9}, end) == Ids{7});
  CHECK(CutAtEnd({7, 8, 9}, end) == Ids{7, 8, 9});
  CHECK(CutAtEnd({4, 7}, end).empty());
  CHECK(CutAtEnd({}, end).empty());
}

TEST_CASE("white space is Unicode's") {
  CHECK(NormaliseWhiteSpace("  a \t\n b  ") == "a b");
  CHECK(NormaliseWhiteSpace("a\xC2\xA0"  // U+00A0
                            "b") == "a b");
  CHECK(NormaliseWhiteSpace("\xE3\x80\x80"           // U+3000
                            "a\xE2\x80\xA8"          // U+2028
                            "b\xC2\x85") == "a b");  // U+0085
  // U+200B, zero width space, is not white space.
  CHECK(NormaliseWhiteSpace("a\xE2\x80\x8B b") == "a\xE2\x80\x8B b");
  CHECK(NormaliseWhiteSpace(" \n ") == "");
}

struct Case {
  Checker checker;
  const char* answer;
  const char* prediction;
  bool correct;
};

TEST_CASE("the checkers") {
  const Case cases[] = {
      {Checker::kExact, "6674", "6674", true},
      {Checker::kExact, "6674", " 6674\n", true},
      {Checker::kExact, "two words", "two\xC2\xA0words", true},
      {Checker::kExact, "two words", "twowords", false},
      {Checker::kExact, "Paris", "paris", false},
      {Checker::kExact, "Paris", "Paris.", false},
      {Checker::kExact, "a, b", "a,b", false},
      {Checker::kExact, "", "", true},
      {Checker::kList, "a, b, c", "a,b ,  c", true},
      {Checker::kList, "a, b, c", "a, c, b", false},
      {Checker::kList, "a, b", "a, b,", false},
      {Checker::kList, "a, b",
       "a,\xC2\xA0"
       "b",
       true},
      {Checker::kList, "a, b", "a, b, b", false},
      {Checker::kList, "a", "", false},
      {Checker::kSet, "a, b, c", "c, a, b", true},
      {Checker::kSet, "a, b", "b, a,", false},
      {Checker::kSet, "a, a, b", "a, b, a", true},
      {Checker::kSet, "a, a, b", "a, b", false},
      {Checker::kSet, "a, a, b", "a, b, b", false},
      {Checker::kSet, "a, b", "a, , b", false},
  };
  for (const Case& c : cases) {
    CAPTURE(static_cast<int>(c.checker), c.answer, c.prediction);
    CHECK(IsCorrect(c.checker, c.answer, c.prediction) == c.correct);
  }
}

}  // namespace
}  // namespace sparsed::clients
