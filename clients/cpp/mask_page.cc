#include "clients/cpp/mask_page.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <optional>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "clients/cpp/live_view.h"
#include "clients/cpp/png.h"

namespace sparsed::clients {
namespace {

constexpr char kHead[] = R"(<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>Patterns of attention</title>
<style>
:root { color-scheme: light dark; }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 78rem; margin: 1.5rem auto;
 padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2, summary { font-size: 1.1rem; font-weight: 600; }
summary { cursor: pointer; margin: 1rem 0 .5rem; }
table { border-collapse: collapse; margin: .4rem 0 1.2rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: .3rem; }
th, td { padding: .15rem .5rem; text-align: right; font-weight: 400; }
thead th, tbody th { opacity: .75; } tbody th { text-align: right; }
.words td { text-align: left; }
.wide { overflow-x: auto; }
img { width: clamp(5rem, 11vw, 12rem); image-rendering: pixelated; display: block;
 border: 1px solid rgba(128, 128, 128, .5); }
.grid td { padding: .15rem; }
.key { display: inline-block; width: .9em; height: .9em; vertical-align: -.1em; }
</style>
</head>
<body>
<h1>Patterns of attention</h1>
)";

// Kept blocks are blue, the others orange, the stronger the more of its row's mass a block has.
constexpr int kShades = 128;
constexpr Color kPaper = {250, 250, 248};
constexpr Color kKept = {0, 82, 136};
constexpr Color kDropped = {213, 94, 0};
constexpr double kLeastKept = 0.25;  // so that a kept block of no mass is seen, too

uint8_t Blend(uint8_t from, uint8_t to, double share) {
  return static_cast<uint8_t>(std::lround(from + (to - from) * share));
}

Color Blend(const Color& from, const Color& to, double share) {
  return {Blend(from.red, to.red, share), Blend(from.green, to.green, share),
          Blend(from.blue, to.blue, share)};
}

std::array<Color, 256> Palette() {
  std::array<Color, 256> palette;
  for (int shade = 0; shade < kShades; ++shade) {
    const double share = static_cast<double>(shade) / (kShades - 1);
    palette[static_cast<size_t>(shade)] = Blend(kPaper, kDropped, share);
    palette[static_cast<size_t>(kShades + shade)] =
        Blend(kPaper, kKept, kLeastKept + (1 - kLeastKept) * share);
  }
  return palette;
}

Picture DrawPattern(const v1::HeadPattern& pattern, const v1::InspectionStarted& started) {
  const uint32_t n = started.blocks();
  Picture picture = {n, n, std::vector<uint8_t>(size_t{n} * n)};
  for (uint32_t query = 0; query < n; ++query) {
    for (uint32_t key = 0; key < n; ++key) {
      const size_t place = size_t{query} * n + key;
      const bool kept = IsKept(pattern, n, query, key);
      // Without importances a kept block is as strong as can be, another one is not seen.
      double share = kept ? 1 : 0;
      if (pattern.importance_size() > 0) {
        const double mass =
            pattern.importance(static_cast<int>(place)) * static_cast<double>(started.block_size());
        share = std::sqrt(std::clamp(mass, 0.0, 1.0));
      }
      const int shade = static_cast<int>(std::lround(share * (kShades - 1)));
      picture.pixels[place] = static_cast<uint8_t>(shade + (kept ? kShades : 0));
    }
  }
  return picture;
}

std::string EscapeHtml(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '&' || c == '<' || c == '>' || c == '"') {
      absl::StrAppend(&out, "&#", static_cast<int>(c), ";");
    } else {
      out += c;
    }
  }
  return out;
}

std::string Number(std::optional<double> value) {
  return value ? absl::StrFormat("%.3f", *value) : "";
}

// A cell with its number; the more it falls short of 1 beside the others, the stronger.
std::string HeatCell(std::optional<double> value, double least) {
  if (!value) return "<td></td>";
  const double short_of = least < 1 ? (1 - *value) / (1 - least) : 0;
  return absl::StrFormat("<td style=\"background:rgba(213,94,0,%.2f)\">%.3f</td>", 0.75 * short_of,
                         *value);
}

// A table with a heat map's cells, values by row and column.
struct HeatTable {
  std::string caption;
  std::string corner;
  std::vector<std::string> columns;
  std::vector<std::string> rows;
  std::vector<std::vector<std::optional<double>>> values;
};

std::string RenderHeat(const HeatTable& table) {
  double least = 1;
  for (const auto& row : table.values) {
    for (const auto& value : row) least = std::min(least, value.value_or(1));
  }
  std::string html = absl::StrCat("<div class=\"wide\"><table><caption>", table.caption,
                                  "</caption>\n<thead><tr><th>", table.corner, "</th>");
  for (const std::string& name : table.columns) {
    absl::StrAppend(&html, "<th scope=\"col\">", name, "</th>");
  }
  html += "</tr></thead>\n<tbody>\n";
  for (size_t row = 0; row < table.rows.size(); ++row) {
    absl::StrAppend(&html, "<tr><th scope=\"row\">", table.rows[row], "</th>");
    for (const auto& value : table.values[row]) html += HeatCell(value, least);
    html += "</tr>\n";
  }
  return html + "</tbody></table></div>\n";
}

template <typename Numbers>
std::vector<std::string> Names(const char* word, const Numbers& numbers) {
  std::vector<std::string> names;
  for (const uint32_t number : numbers) names.push_back(absl::StrCat(word, number));
  return names;
}

std::string Facts(const MaskReport& report) {
  const v1::InspectionStarted& started = report.started;
  const v1::SparseReport& sparse = report.result.sparse();
  std::string html = "<table class=\"words\"><tbody>\n";
  const auto add = [&html](const char* name, const std::string& value) {
    absl::StrAppend(&html, "<tr><th scope=\"row\">", name, "</th><td>", EscapeHtml(value),
                    "</td></tr>\n");
  };
  add("model", report.result.model());
  add("request", report.result.request_id());
  add("tokens", absl::StrCat(report.result.usage().prompt_tokens(), " of the prompt, ",
                             report.result.token_ids_size(), " of the canvas"));
  add("blocks",
      absl::StrCat(started.blocks(), " of ", started.block_size(),
                   " tokens; the canvas side begins with block ", started.first_canvas_block()));
  if (sparse.used()) {
    add("pattern", absl::StrFormat("selected at step %d, keeps %.1f %% of the blocks of all layers",
                                   started.select_step(), 100 * sparse.density()));
  } else {
    add("pattern", "none in use: every step is full attention");
  }
  return html + "</tbody></table>\n";
}

std::string StepTable(const std::vector<StepSummary>& summaries) {
  std::string html =
      "<h2>Steps</h2>\n<div class=\"wide\"><table><caption>Recall: the share of the full "
      "attention's mass in the blocks of the pattern in use, and in those that the step itself "
      "would select. Similarity: Jaccard index of the two patterns. Means over the "
      "heads.</caption>\n"
      "<thead><tr><th>step</th><th>kind</th><th>recall</th><th>least, of</th>"
      "<th>recall if selected here</th><th>similarity</th><th>kept</th></tr></thead>\n<tbody>\n";
  for (const StepSummary& summary : summaries) {
    const std::string where = summary.least_recall
                                  ? absl::StrCat(Number(summary.least_recall), ", L",
                                                 summary.least_layer, " H", summary.least_head)
                                  : "";
    absl::StrAppend(&html, "<tr><td>", summary.step, "</td><td>", KindName(summary.kind),
                    "</td><td>", Number(summary.recall), "</td><td>", where, "</td><td>",
                    Number(summary.fresh_recall), "</td><td>", Number(summary.similarity),
                    "</td><td>", absl::StrFormat("%.1f %%", 100 * summary.kept), "</td></tr>\n");
  }
  return html + "</tbody></table></div>\n";
}

std::string SimilarityTable(const MaskReport& report, const std::vector<StepSummary>& summaries) {
  HeatTable table;
  table.caption = "Similarity of the patterns that the steps select: mean over the heads";
  table.corner = "step";
  for (const StepSummary& summary : summaries) table.rows.push_back(absl::StrCat(summary.step));
  table.columns = table.rows;
  for (const std::vector<double>& row : MeanSimilarities(report)) {
    table.values.emplace_back(row.begin(), row.end());
  }
  return RenderHeat(table);
}

// A heat map by layer and head; nothing where no head has the value.
std::string HeadTable(const MaskReport& report, const std::string& caption,
                      const std::function<std::optional<double>(size_t head)>& value) {
  HeatTable table;
  table.caption = caption;
  table.rows = Names("L", report.started.layers());
  table.columns = Names("H", report.started.heads());
  bool any = false;
  size_t head = 0;
  for (size_t row = 0; row < table.rows.size(); ++row) {
    std::vector<std::optional<double>>& values = table.values.emplace_back();
    for (size_t column = 0; column < table.columns.size(); ++column, ++head) {
      values.push_back(value(head));
      any = any || values.back().has_value();
    }
  }
  return any ? RenderHeat(table) : "";
}

std::string PictureTable(const MaskReport& report, size_t step) {
  const std::array<Color, 256> palette = Palette();
  std::string html =
      "<div class=\"wide\"><table class=\"grid\"><caption>The blocks by layer and head: queries "
      "downwards, keys to the right</caption>\n<thead><tr><th></th>";
  for (const std::string& name : Names("H", report.started.heads())) {
    absl::StrAppend(&html, "<th scope=\"col\">", name, "</th>");
  }
  html += "</tr></thead>\n<tbody>\n";
  size_t head = 0;
  for (const std::string& layer : Names("L", report.started.layers())) {
    absl::StrAppend(&html, "<tr><th scope=\"row\">", layer, "</th>");
    for (int i = 0; i < report.started.heads_size(); ++i, ++head) {
      const v1::HeadPattern& pattern = report.at(step, head);
      const std::string png = EncodePng(DrawPattern(pattern, report.started), palette);
      const std::string name =
          absl::StrCat("step ", pattern.step(), ", layer ", pattern.layer(), ", head ",
                       pattern.head(), pattern.has_recall() ? ", recall " : "",
                       pattern.has_recall() ? Number(pattern.recall()) : "");
      absl::StrAppend(&html, "<td><img alt=\"", name, "\" title=\"", name,
                      "\" src=\"data:image/png;base64,", absl::Base64Escape(png), "\"></td>");
    }
    html += "</tr>\n";
  }
  return html + "</tbody></table></div>\n";
}

std::string StepSection(const MaskReport& report, const StepSummary& summary, size_t step,
                        std::optional<size_t> in_use) {
  std::string html =
      absl::StrCat("<details", step == in_use.value_or(0) ? " open" : "", "><summary>Step ",
                   summary.step, ", ", KindName(summary.kind), "</summary>\n");
  html += HeadTable(report, "Recall of the pattern in use", [&](size_t head) {
    const v1::HeadPattern& pattern = report.at(step, head);
    return pattern.has_recall() ? std::optional<double>(pattern.recall()) : std::nullopt;
  });
  if (in_use && *in_use != step) {
    html += HeadTable(report, "Similarity to the pattern in use", [&](size_t head) {
      return std::optional<double>(SimilarityOf(report, step, *in_use, head));
    });
  }
  return absl::StrCat(html, PictureTable(report, step), "</details>\n");
}

std::string Legend(bool importance) {
  std::string html =
      "<h2>Patterns</h2>\n<p><span class=\"key\" style=\"background:#005288\"></span> kept";
  html += importance ? " and <span class=\"key\" style=\"background:#d55e00\"></span> dropped "
                       "blocks, the stronger the more of its row's attention a block has (by the "
                       "square root)"
                     : " blocks";
  return html +
         ", as each step would select them; the select step's pattern is the one in use.</p>\n";
}

}  // namespace

std::string RenderMaskPage(const MaskReport& report) {
  const std::vector<StepSummary> summaries = Summarize(report);
  std::optional<size_t> in_use;
  for (size_t step = 0; step < summaries.size(); ++step) {
    if (summaries[step].kind == v1::STEP_KIND_SELECT) in_use = step;
  }
  std::string html = kHead;
  html += Facts(report);
  html += StepTable(summaries);
  html += SimilarityTable(report, summaries);
  html += Legend(!report.heads.empty() && report.heads[0].importance_size() > 0);
  for (size_t step = 0; step < summaries.size(); ++step) {
    html += StepSection(report, summaries[step], step, in_use);
  }
  return html + "</body>\n</html>\n";
}

}  // namespace sparsed::clients
