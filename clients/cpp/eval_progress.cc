#include "clients/cpp/eval_progress.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "clients/cpp/text_cells.h"

namespace sparsed::clients {

std::string RenderSeconds(double seconds) {
  const auto whole = static_cast<int64_t>(seconds);
  if (seconds < 60) return absl::StrFormat("%.1f s", seconds);
  if (whole < 3600) return absl::StrFormat("%d min %02d s", whole / 60, whole % 60);
  return absl::StrFormat("%d h %02d min", whole / 3600, whole / 60 % 60);
}

std::string RenderEvalProgress(const EvalProgress& progress, int columns, bool color) {
  std::vector<std::string> parts = {absl::StrCat(progress.done, "/", progress.todo)};
  if (progress.done > 0) {
    parts.push_back(absl::StrFormat("%.1f%% right", 100.0 * progress.correct / progress.done));
    const double left = progress.seconds * (progress.work_todo / progress.work_done - 1);
    parts.push_back(RenderSeconds(left) + " left");
  }
  parts.push_back(
      absl::StrFormat("%.0f tok/s", progress.generated_tokens / std::max(1e-3, progress.seconds)));
  parts.push_back(RenderSeconds(progress.seconds));
  constexpr int kLeastBar = 10;
  constexpr int kMostBar = 40;
  const auto text_columns = [&parts] { return Columns(absl::StrJoin(parts, " · ")) + 2; };
  while (parts.size() > 1 && columns - text_columns() <= kLeastBar) parts.pop_back();
  const int bar = std::clamp(columns - text_columns() - 1, 0, kMostBar);
  const double share = progress.work_todo > 0 ? progress.work_done / progress.work_todo : 0;
  const int filled = std::clamp(static_cast<int>(share * bar), 0, bar);
  std::string line = color ? "\x1b[32m" : "";
  for (int i = 0; i < filled; ++i) line += "━";
  if (color) line += "\x1b[90m";
  for (int i = filled; i < bar; ++i) line += color ? "━" : "─";
  if (color) line += "\x1b[0m";
  return line + "  " + absl::StrJoin(parts, color ? "\x1b[90m · \x1b[0m" : " · ");
}

}  // namespace sparsed::clients
