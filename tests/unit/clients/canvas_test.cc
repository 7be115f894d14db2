#include "clients/cpp/canvas.h"

#include "clients/cpp/text_cells.h"
#include "tests/testing/catch.h"

namespace sparsed::clients {
namespace {

constexpr uint32_t kMask = 0;

// A frame from token texts; "" stands for a mask and is written as the mask glyph, after `prefix`
// (an infill's fixed text).
v1::Frame MakeFrame(const std::vector<std::string>& tokens, const std::string& prefix = "") {
  v1::Frame frame;
  std::string text = prefix;
  for (size_t i = 0; i < tokens.size(); ++i) {
    frame.add_token_ids(tokens[i].empty() ? kMask : static_cast<uint32_t>(i + 1));
    text += tokens[i].empty() ? std::string(kMaskGlyph) : tokens[i];
  }
  frame.set_text(text);
  return frame;
}

// The text with masks as '#', and below it the times as digits ('.' for long ago).
struct Seen {
  std::string text;
  std::string times;
};
Seen See(const Canvas& canvas) {
  Seen seen;
  for (const Cell& cell : canvas.cells()) {
    seen.text += cell.mask ? "#" : cell.text;
    seen.times += cell.committed_at == kLongAgo ? "." : std::to_string(int(cell.committed_at));
  }
  return seen;
}

TEST_CASE("cells keep the time of the frame that brought them") {
  Canvas canvas;
  canvas.Update(MakeFrame({"", "bb", "", "dd", ""}), kMask, 1);
  CHECK(See(canvas).text == "#bb#dd#");
  CHECK(See(canvas).times == ".11.11.");
  canvas.Update(MakeFrame({"aa", "bb", "", "dd", ""}), kMask, 2);
  CHECK(See(canvas).text == "aabb#dd#");
  CHECK(See(canvas).times == "2211.11.");
  canvas.Update(MakeFrame({"aa", "bb", "cc", "dd", "ee"}), kMask, 3);
  CHECK(See(canvas).text == "aabbccddee");
  CHECK(See(canvas).times == "2211331133");
}

TEST_CASE("equal neighbours are told apart by their place") {
  Canvas canvas;
  canvas.Update(MakeFrame({"a", "", "a"}), kMask, 1);
  canvas.Update(MakeFrame({"a", "a", "a"}), kMask, 2);
  CHECK(See(canvas).times == "121");
}

TEST_CASE("several commits between three known pieces") {
  Canvas canvas;
  canvas.Update(MakeFrame({"a", "", "m", "", "z"}), kMask, 1);
  canvas.Update(MakeFrame({"a", "x", "m", "y", "z"}), kMask, 2);
  CHECK(See(canvas).text == "axmyz");
  CHECK(See(canvas).times == "12121");
}

TEST_CASE("fixed text beside masks is not new") {
  Canvas canvas;
  canvas.Update(MakeFrame({"", ""}, "Fixed "), kMask, 1);
  canvas.Update(MakeFrame({"x", ""}, "Fixed "), kMask, 2);
  CHECK(See(canvas).text == "Fixed x#");
  CHECK(See(canvas).times == "1111112.");
}

TEST_CASE("a text with the mask glyph in it is shown without times") {
  Canvas canvas;
  v1::Frame frame = MakeFrame({"a", ""});
  frame.set_text("a\xE2\x96\x91\xE2\x96\x91");
  canvas.Update(frame, kMask, 1);
  CHECK(See(canvas).text == "a##");
  CHECK(See(canvas).times == "...");
  // And the next good frame is taken up.
  canvas.Update(MakeFrame({"a", "b"}), kMask, 2);
  CHECK(See(canvas).text == "ab");
}

TEST_CASE("text that changed under a completed character counts as new") {
  Canvas canvas;
  v1::Frame half = MakeFrame({"x", ""});
  half.set_text("\xEF\xBF\xBD\xE2\x96\x91");
  canvas.Update(half, kMask, 1);
  v1::Frame whole = MakeFrame({"x", "y"});
  whole.set_text("é");
  canvas.Update(whole, kMask, 2);
  CHECK(See(canvas).text == "é");
  CHECK(See(canvas).times == "2");
}

}  // namespace
}  // namespace sparsed::clients
