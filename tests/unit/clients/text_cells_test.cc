#include "clients/cpp/text_cells.h"

#include "absl/strings/str_cat.h"
#include "tests/testing/catch.h"

namespace sparsed::clients {
namespace {

constexpr const char* kReplacement = "\xEF\xBF\xBD";

TEST_CASE("text falls into code points, wrong bytes into replacement characters") {
  using Pieces = std::vector<std::string>;
  CHECK(CodePoints("aé東😀") == Pieces{"a", "é", "東", "😀"});
  CHECK(CodePoints("") == Pieces{});
  // A lead byte without its followers, a lone follower, an overlong form, a surrogate.
  CHECK(CodePoints("a\xC3") == Pieces{"a", kReplacement});
  CHECK(CodePoints("\x80z") == Pieces{kReplacement, "z"});
  CHECK(CodePoints("\xC0\xAF") == Pieces{kReplacement, kReplacement});
  CHECK(CodePoints("\xED\xA0\x80").size() == 3);
  CHECK(CodePoints("\xE6\x9Dz") == Pieces{kReplacement, kReplacement, "z"});
}

TEST_CASE("columns are those of a terminal") {
  CHECK(Columns("abc") == 3);
  CHECK(Columns("é") == 1);
  CHECK(Columns("e\xCC\x81") == 1);  // combining acute
  CHECK(Columns("東京") == 4);
  CHECK(Columns("😀") == 2);
  CHECK(Columns(kMaskGlyph) == 1);
  CHECK(Columns("━⋮·") == 3);
}

TEST_CASE("control characters never reach a terminal") {
  CHECK(SafeForTerminal("a\tb\nc") == "a\tb\nc");
  CHECK(SafeForTerminal("\x1b[2Jx") == absl::StrCat(kReplacement, "[2Jx"));
  CHECK(SafeForTerminal("a\rb") == absl::StrCat("a", kReplacement, "b"));
  CHECK(SafeForTerminal("\xC2\x9B"
                        "31m") == absl::StrCat(kReplacement, "31m"));  // C1 CSI
  CHECK(SafeForTerminal("\x7F") == kReplacement);
}

}  // namespace
}  // namespace sparsed::clients
