#include "clients/cpp/live_view.h"

#include "clients/cpp/text_cells.h"
#include "tests/testing/catch.h"

namespace sparsed::clients {
namespace {

constexpr uint32_t kMaskToken = 9;

v1::StreamGenerateResponse Accepted(uint32_t queue_position, uint32_t steps) {
  v1::StreamGenerateResponse event;
  event.mutable_accepted()->set_queue_position(queue_position);
  event.mutable_accepted()->set_planned_steps(steps);
  return event;
}

v1::StreamGenerateResponse Progress(uint32_t step, uint32_t steps, v1::StepKind kind) {
  v1::StreamGenerateResponse event;
  event.mutable_progress()->set_step(step);
  event.mutable_progress()->set_steps(steps);
  event.mutable_progress()->set_committed_tokens(step);
  event.mutable_progress()->set_kind(kind);
  return event;
}

// A canvas of `words` words "word " and then `masks` masks.
v1::StreamGenerateResponse FrameOf(uint32_t step, int words, int masks) {
  v1::StreamGenerateResponse event;
  v1::Frame& frame = *event.mutable_frame();
  frame.set_step(step);
  std::string text;
  for (int i = 0; i < words + masks; ++i) {
    frame.add_token_ids(i < words ? 1 : kMaskToken);
    text += i < words ? "word " : std::string(kMaskGlyph);
  }
  frame.set_text(text);
  return event;
}

LiveState Running(int words, int masks) {
  LiveState state;
  state.mask_id = kMaskToken;
  state.asked_at = 100;
  Apply(Accepted(0, 64), 100, &state);
  Apply(FrameOf(24, words, masks), 101, &state);
  Apply(Progress(24, 64, v1::STEP_KIND_SPARSE), 101, &state);
  return state;
}

void CheckFits(const std::vector<std::string>& lines, TerminalSize size) {
  CHECK(static_cast<int>(lines.size()) < size.rows);
  for (const std::string& line : lines) CHECK(VisibleColumns(line) < size.columns);
}

TEST_CASE("before the first step the queue is shown") {
  LiveState state;
  state.asked_at = 100;
  auto lines = RenderLive(state, {80, 24}, false, 100);
  REQUIRE(lines.size() == 1);
  CHECK(lines[0] == "⠋ connecting  0.0 s");
  Apply(Accepted(3, 64), 100.2, &state);
  lines = RenderLive(state, {80, 24}, false, 101.5);
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].find("queued, 3 in front  1.5 s") != std::string::npos);
}

TEST_CASE("the canvas, a blank line, then bar, step, kind, rate and time") {
  const LiveState state = Running(3, 5);
  const auto lines = RenderLive(state, {80, 24}, false, 102);
  REQUIRE(lines.size() == 3);
  CHECK(lines[0] == "word word word ░░░░░");
  CHECK(lines[1].empty());
  // 24 tokens of the progress event over the two seconds since it was accepted.
  CHECK(lines[2].find("24/64 · sparse ·   12 tok/s ·  2.0 s") != std::string::npos);
  CheckFits(lines, {80, 24});
}

TEST_CASE("new tokens flash, fade and become plain; blanks never do") {
  const LiveState state = Running(1, 1);
  const auto first_line = [&](bool color, double now) {
    return RenderLive(state, {80, 24}, color, now)[0];
  };
  CHECK(first_line(true, 101.1) == "\x1b[30;46mword\x1b[0m \x1b[90m░\x1b[0m");
  CHECK(first_line(true, 101.4) == "\x1b[1;36mword\x1b[0m \x1b[90m░\x1b[0m");
  CHECK(first_line(true, 103) == "word \x1b[90m░\x1b[0m");
  CHECK(first_line(false, 101.1) == "\x1b[1mword\x1b[0m ░");
  CHECK(first_line(false, 103) == "word ░");
}

TEST_CASE("every size is kept to") {
  const LiveState state = Running(120, 300);
  for (int columns = 1; columns <= 130; columns += columns < 30 ? 1 : 20) {
    for (int rows : {2, 3, 4, 5, 6, 10, 24}) {
      CAPTURE(columns, rows);
      CheckFits(RenderLive(state, {columns, rows}, true, 102), {columns, rows});
    }
  }
}

TEST_CASE("of a tall canvas the part around the first mask is shown") {
  const LiveState state = Running(100, 400);
  const auto lines = RenderLive(state, {41, 12}, false, 110);
  CheckFits(lines, {41, 12});
  // 100 words of 5 columns fill 12.5 rows of 40, and all is 22.5 rows. Of the nine rows shown, two
  // thirds stand above the one with the first mask, row 12: rows 6 to 14, the outer two notices.
  CHECK(lines.front() == "⋮ 7 more lines above");
  CHECK(lines[6].find("word word word word ░") != std::string::npos);
  CHECK(lines[8] == "⋮ 9 more lines below");
}

TEST_CASE("the bar shows done steps by kind") {
  using v1::STEP_KIND_FULL;
  using v1::STEP_KIND_SELECT;
  using v1::STEP_KIND_SPARSE;
  const std::vector<v1::StepKind> kinds = {STEP_KIND_FULL, STEP_KIND_SELECT, STEP_KIND_SPARSE};
  CHECK(RenderBar(kinds, 3, 4, 4, false) == "━━━─");
  CHECK(RenderBar(kinds, 3, 4, 4, true) == "\x1b[34m━\x1b[33m━\x1b[32m━\x1b[90m━\x1b[0m");
  CHECK(RenderBar({}, 0, 0, 3, false) == "───");
  CHECK(RenderBar(kinds, 9, 4, 3, false) == "━━━");
  // The select step is one of 64 and still has its column.
  std::vector<v1::StepKind> many(64, STEP_KIND_SPARSE);
  many[13] = STEP_KIND_SELECT;
  CHECK(RenderBar(many, 64, 64, 10, true).find("\x1b[33m━") != std::string::npos);
}

TEST_CASE("kinds of steps between two progress events are filled in") {
  using v1::STEP_KIND_FULL;
  using v1::STEP_KIND_SELECT;
  LiveState state;
  Apply(Progress(2, 8, STEP_KIND_FULL), 1, &state);
  Apply(Progress(5, 8, STEP_KIND_SELECT), 2, &state);
  CHECK(state.kinds == std::vector<v1::StepKind>{STEP_KIND_FULL, STEP_KIND_FULL, STEP_KIND_FULL,
                                                 STEP_KIND_FULL, STEP_KIND_SELECT});
  // An event that comes late changes nothing.
  Apply(Progress(3, 8, STEP_KIND_FULL), 3, &state);
  CHECK(state.step == 5);
  CHECK(state.kinds.size() == 5);
}

TEST_CASE("the summary names what happened and wraps between facts") {
  v1::GenerateResponse response;
  response.mutable_usage()->set_generated_tokens(64);
  response.mutable_usage()->set_full_steps(14);
  response.mutable_usage()->set_select_steps(1);
  response.mutable_usage()->set_sparse_steps(49);
  response.mutable_timings()->mutable_total()->set_nanos(900000000);
  response.mutable_timings()->mutable_queue()->set_nanos(100000000);
  response.mutable_sparse()->set_used(true);
  response.mutable_sparse()->set_density(0.3123f);
  CHECK(RenderSummary(response, 120) ==
        "64 tokens · 80 tok/s · 0.90 s · 0.10 s queued · 14 full, 1 select, 49 sparse steps · "
        "density 31%");
  CHECK(RenderSummary(response, 60) ==
        "64 tokens · 80 tok/s · 0.90 s · 0.10 s queued\n"
        "14 full, 1 select, 49 sparse steps · density 31%");
  response.mutable_usage()->clear_select_steps();
  response.mutable_usage()->clear_sparse_steps();
  response.mutable_sparse()->set_used(false);
  response.mutable_timings()->mutable_queue()->set_nanos(0);
  CHECK(RenderSummary(response, 120) == "64 tokens · 71 tok/s · 0.90 s · 14 full steps");
}

}  // namespace
}  // namespace sparsed::clients
