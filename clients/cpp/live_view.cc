#include "clients/cpp/live_view.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "clients/cpp/text_cells.h"
#include "clients/cpp/text_wrap.h"

namespace sparsed::clients {
namespace {

constexpr const char* kReset = "\x1b[0m";
constexpr const char* kGrey = "\x1b[90m";
constexpr const char* kBold = "\x1b[1m";
constexpr const char* kFlash = "\x1b[30;46m";
constexpr const char* kFresh = "\x1b[1;36m";

constexpr double kFlashSeconds = 0.15;
constexpr double kFreshSeconds = 0.6;

// Rows beside the canvas: a blank one, the bar, and the one the cursor must not leave.
constexpr int kOtherRows = 3;

// A terminal narrower than this shows nothing.
constexpr int kLeastColumns = 4;

constexpr double kQueueWorthTelling = 0.1;  // seconds

const char* ColorOf(v1::StepKind kind) {
  switch (kind) {
    case v1::STEP_KIND_SELECT:
      return "\x1b[33m";
    case v1::STEP_KIND_SPARSE:
      return "\x1b[32m";
    default:
      return "\x1b[34m";
  }
}

std::string Paint(const std::string& text, const char* style) {
  return *style == '\0' ? text : absl::StrCat(style, text, kReset);
}

const char* StyleOf(const Cell& cell, bool color, double now) {
  if (cell.mask) return color ? kGrey : "";
  if (cell.text == " ") return "";
  const double age = now - cell.committed_at;
  if (age < kFlashSeconds) return color ? kFlash : kBold;
  if (age < kFreshSeconds) return color ? kFresh : kBold;
  return "";
}

// Neighbours of one style share one colour sequence.
std::string RenderCells(const std::vector<Cell>& line, bool color, double now) {
  std::string rendered;
  std::string run;
  const char* style = "";
  for (const Cell& cell : line) {
    const char* next = StyleOf(cell, color, now);
    if (next != style && !run.empty()) {
      rendered += Paint(run, style);
      run.clear();
    }
    style = next;
    run += cell.text;
  }
  return run.empty() ? rendered : rendered + Paint(run, style);
}

// The row with the first mask, or the last row.
size_t FocusRow(const std::vector<std::vector<Cell>>& rows) {
  for (size_t i = 0; i < rows.size(); ++i) {
    for (const Cell& cell : rows[i]) {
      if (cell.mask) return i;
    }
  }
  return rows.empty() ? 0 : rows.size() - 1;
}

std::vector<std::string> RenderCanvas(const LiveState& state, int columns, int most_rows,
                                      bool color, double now) {
  const auto rows = WrapCells(state.canvas.cells(), columns);
  const size_t shown = std::min(rows.size(), static_cast<size_t>(std::max(0, most_rows)));
  const size_t above = shown * 2 / 3;
  const size_t focus = FocusRow(rows);
  const size_t first = std::min(rows.size() - shown, focus > above ? focus - above : 0);
  std::vector<std::string> lines;
  for (size_t i = first; i < first + shown; ++i) lines.push_back(RenderCells(rows[i], color, now));
  const char* grey = color ? kGrey : "";
  // A notice takes the place of a row, so it counts that row too.
  const auto notice = [&](size_t hidden, const char* where) {
    const std::string text = absl::StrCat("⋮ ", hidden + 1, " more lines ", where);
    return Columns(text) < columns ? Paint(text, grey) : Paint("⋮", grey);
  };
  const size_t hidden_below = rows.size() - first - shown;
  if (shown > 2 && first > 0) lines.front() = notice(first, "above");
  if (shown > 2 && hidden_below > 0) lines.back() = notice(hidden_below, "below");
  return lines;
}

std::string RenderWaiting(const LiveState& state, bool color, double now) {
  static constexpr const char* kSpinner[] = {"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"};
  const double waited = std::max(0.0, now - state.asked_at);
  const char* spinner = kSpinner[static_cast<size_t>(waited * 10) % 10];
  std::string what = "connecting";
  if (state.accepted) {
    what = state.queue_position == 0 ? "first step"
                                     : absl::StrCat("queued, ", state.queue_position, " in front");
  }
  return absl::StrCat(Paint(spinner, color ? kFresh : ""), " ", what,
                      absl::StrFormat("  %.1f s", waited));
}

std::string RenderStatusLine(const LiveState& state, int columns, bool color, double now) {
  const double seconds = std::max(1e-3, now - state.started_at);
  const v1::StepKind kind = state.kinds.empty() ? v1::STEP_KIND_FULL : state.kinds.back();
  const int digits = static_cast<int>(absl::StrCat(state.steps).size());
  const std::string step = absl::StrFormat("%*d/%d", digits, state.step, state.steps);
  const std::string rate = absl::StrFormat("%4.0f tok/s", state.committed_tokens / seconds);
  const std::string time = absl::StrFormat("%4.1f s", seconds);
  std::vector<std::string> parts = {step, absl::StrFormat("%-6s", KindName(kind)), rate, time};
  // A narrow terminal loses the time first, then the rate, then the kind.
  const auto text_columns = [&parts] { return Columns(absl::StrJoin(parts, " · ")) + 2; };
  constexpr int kLeastBar = 10;
  constexpr int kMostBar = 48;
  while (parts.size() > 1 && columns - text_columns() < kLeastBar) parts.pop_back();
  const int bar = std::min(kMostBar, columns - text_columns() - 1);
  if (parts.size() > 1) parts[1] = Paint(parts[1], color ? ColorOf(kind) : "");
  const std::string dot = Paint(" · ", color ? kGrey : "");
  const std::string text = absl::StrJoin(parts, dot);
  if (bar < 1) return Columns(step) < columns ? step : "";
  return RenderBar(state.kinds, state.step, state.steps, bar, color) + "  " + text;
}

double ToSeconds(const google::protobuf::Duration& duration) {
  return static_cast<double>(duration.seconds()) + duration.nanos() * 1e-9;
}

void Started(double now, LiveState* state) {
  if (state->started_at == kLongAgo) state->started_at = now;
}

}  // namespace

std::string KindName(v1::StepKind kind) {
  switch (kind) {
    case v1::STEP_KIND_SELECT:
      return "select";
    case v1::STEP_KIND_SPARSE:
      return "sparse";
    default:
      return "full";
  }
}

void Apply(const v1::StreamGenerateResponse& event, double now, LiveState* state) {
  if (event.has_accepted()) {
    state->accepted = true;
    state->queue_position = event.accepted().queue_position();
    state->steps = event.accepted().planned_steps();
    if (state->queue_position == 0) Started(now, state);
  } else if (event.has_progress()) {
    const v1::Progress& progress = event.progress();
    Started(now, state);
    state->step = std::max(state->step, progress.step());
    state->steps = progress.steps();
    state->committed_tokens = std::max(state->committed_tokens, progress.committed_tokens());
    // Steps between two events are of the newer event's kind, but a pattern is built only once.
    const v1::StepKind between =
        progress.kind() == v1::STEP_KIND_SELECT ? v1::STEP_KIND_FULL : progress.kind();
    if (progress.step() > state->kinds.size()) {
      state->kinds.resize(progress.step(), between);
      state->kinds.back() = progress.kind();
    }
  } else if (event.has_frame()) {
    const v1::Frame& frame = event.frame();
    Started(now, state);
    state->step = std::max(state->step, frame.step());
    state->canvas.Update(frame, state->mask_id, now);
    const auto masks = static_cast<uint32_t>(
        std::count(frame.token_ids().begin(), frame.token_ids().end(), state->mask_id));
    const auto tokens = static_cast<uint32_t>(frame.token_ids_size());
    state->committed_tokens = std::max(state->committed_tokens, tokens - masks);
  }
}

std::string RenderBar(const std::vector<v1::StepKind>& kinds, uint32_t step, uint32_t steps,
                      int columns, bool color) {
  const double share = steps == 0 ? 0.0 : std::min(1.0, static_cast<double>(step) / steps);
  const int done = static_cast<int>(std::lround(share * columns));
  std::string bar;
  v1::StepKind kind = v1::STEP_KIND_UNSPECIFIED;
  for (int i = 0; i < done; ++i) {
    const auto first = static_cast<size_t>(static_cast<double>(i) * steps / columns);
    const auto last = static_cast<size_t>(static_cast<double>(i + 1) * steps / columns);
    v1::StepKind next =
        kinds.empty() ? v1::STEP_KIND_FULL : kinds[std::min(first, kinds.size() - 1)];
    // The one select step stays visible however many steps share a column.
    for (size_t s = first; s < std::min(last, kinds.size()); ++s) {
      if (kinds[s] == v1::STEP_KIND_SELECT) next = kinds[s];
    }
    if (color && next != kind) bar += ColorOf(next);
    kind = next;
    bar += "━";
  }
  if (color) bar += kGrey;
  for (int i = done; i < columns; ++i) bar += color ? "━" : "─";
  return color ? bar + kReset : bar;
}

std::vector<std::string> RenderLive(const LiveState& state, TerminalSize size, bool color,
                                    double now) {
  if (size.columns < kLeastColumns) return {""};
  const int columns = size.columns - 1;
  const bool started = state.started_at != kLongAgo && state.step > 0;
  std::vector<std::string> lines = RenderCanvas(state, columns, size.rows - kOtherRows, color, now);
  if (!lines.empty()) lines.emplace_back();
  std::string status =
      started ? RenderStatusLine(state, columns, color, now) : RenderWaiting(state, color, now);
  if (VisibleColumns(status) > columns) status.clear();
  lines.push_back(std::move(status));
  return lines;
}

std::string RenderSummary(const v1::GenerateResponse& response, int columns) {
  const v1::Usage& usage = response.usage();
  const double total = ToSeconds(response.timings().total());
  const double queue = ToSeconds(response.timings().queue());
  std::vector<std::string> parts = {absl::StrCat(usage.generated_tokens(), " tokens")};
  if (total > queue) {
    parts.push_back(absl::StrFormat("%.0f tok/s", usage.generated_tokens() / (total - queue)));
  }
  parts.push_back(absl::StrFormat("%.2f s", total));
  if (queue >= kQueueWorthTelling) parts.push_back(absl::StrFormat("%.2f s queued", queue));
  std::vector<std::string> kinds;
  if (usage.full_steps() > 0) kinds.push_back(absl::StrCat(usage.full_steps(), " full"));
  if (usage.select_steps() > 0) kinds.push_back(absl::StrCat(usage.select_steps(), " select"));
  if (usage.sparse_steps() > 0) kinds.push_back(absl::StrCat(usage.sparse_steps(), " sparse"));
  parts.push_back(absl::StrCat(absl::StrJoin(kinds, ", "), " steps"));
  if (response.sparse().used()) {
    parts.push_back(absl::StrFormat("density %.0f%%", response.sparse().density() * 100));
  }
  if (response.sparse().has_recall()) {
    parts.push_back(absl::StrFormat("recall %.1f%%", response.sparse().recall() * 100));
  }
  constexpr const char* kSeparator = " · ";
  std::string summary;
  int used = 0;
  for (const std::string& part : parts) {
    const int width = Columns(part);
    const bool fits = used + Columns(kSeparator) + width <= columns;
    if (!summary.empty()) summary += fits ? kSeparator : "\n";
    used = summary.empty() || !fits ? width : used + Columns(kSeparator) + width;
    summary += part;
  }
  return summary;
}

}  // namespace sparsed::clients
