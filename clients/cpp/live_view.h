// What a terminal shows while a canvas is being denoised: a pure function from state to lines.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "clients/cpp/canvas.h"
#include "clients/cpp/terminal.h"
#include "sparsed/v1/generation.pb.h"

namespace sparsed::clients {

// What is known of a running generation. Times are seconds on the caller's clock.
struct LiveState {
  uint32_t mask_id = 0;
  Canvas canvas;
  bool accepted = false;
  uint32_t queue_position = 0;
  uint32_t step = 0;
  uint32_t steps = 0;
  uint32_t committed_tokens = 0;
  std::vector<v1::StepKind> kinds;  // of the steps done; progress events in between fill gaps
  double asked_at = 0;
  double started_at = kLongAgo;  // of the first sign of a step
};

// Takes over one event of the stream, received at `now`. `final` and `block` change nothing.
void Apply(const v1::StreamGenerateResponse& event, double now, LiveState* state);

// The lines: the canvas wrapped at words, a blank line, and one line with bar, step, kind of step,
// tokens per second and time. Each is narrower than size.columns, and there are fewer than
// size.rows; of a canvas that is too tall the part around its first mask is shown. Masks are grey,
// new tokens bright for half a second; without `color` new tokens are bold and nothing else is
// marked.
std::vector<std::string> RenderLive(const LiveState& state, TerminalSize size, bool color,
                                    double now);

// The bar alone, `columns` wide: done steps in the colour of their kind, then the rest.
std::string RenderBar(const std::vector<v1::StepKind>& kinds, uint32_t step, uint32_t steps,
                      int columns, bool color);

// What a finished generation took: tokens, tokens per second, time, steps by kind, density. One
// line, or more where it is wider than `columns`; no newline at the end.
std::string RenderSummary(const v1::GenerateResponse& response, int columns);

// "full", "select" or "sparse".
std::string KindName(v1::StepKind kind);

}  // namespace sparsed::clients
