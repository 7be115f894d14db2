#include "clients/cpp/line_chart.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace sparsed::clients {
namespace {

constexpr double kWidth = 760;
constexpr double kHeight = 440;
constexpr double kLeft = 70;
constexpr double kRight = 20;
constexpr double kTop = 50;
constexpr double kBottom = 56;
constexpr double kLegendLine = 18;

// Distinct to most eyes; each with its own dashes as well.
constexpr const char* kColors[] = {"#0072b2", "#d55e00", "#009e73",
                                   "#cc79a7", "#56b4e9", "#000000"};
constexpr const char* kDashes[] = {"", "7 3", "2 3", "9 3 2 3", "5 5", "1 4"};
constexpr size_t kStyles = std::size(kColors);

std::string Escape(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

// One axis: from data to pixels, and where its grid lines are.
class Axis {
 public:
  Axis(bool log, double from_pixel, double to_pixel)
      : log_(log), from_pixel_(from_pixel), to_pixel_(to_pixel) {}

  bool Takes(double value) const { return std::isfinite(value) && (!log_ || value > 0); }

  void Include(double value) {
    low_ = any_ ? std::min(low_, value) : value;
    high_ = any_ ? std::max(high_, value) : value;
    any_ = true;
  }

  // After the last Include: rounds the range to its ticks.
  void Finish() {
    if (!any_) low_ = high_ = 1;
    log_ ? FinishLog() : FinishLinear();
  }

  double Pixel(double value) const {
    const double share =
        log_ ? std::log(value / low_) / std::log(high_ / low_) : (value - low_) / (high_ - low_);
    return from_pixel_ + share * (to_pixel_ - from_pixel_);
  }

  const std::vector<double>& ticks() const { return ticks_; }

 private:
  void FinishLinear() {
    low_ = std::min(low_, 0.0);
    if (high_ <= low_) high_ = low_ + 1;
    const double rough = (high_ - low_) / 6;
    const double decade = std::pow(10, std::floor(std::log10(rough)));
    double step = 10 * decade;
    for (const double factor : {5.0, 2.0, 1.0}) {
      if (factor * decade >= rough) step = factor * decade;
    }
    low_ = step * std::floor(low_ / step);
    high_ = step * std::ceil(high_ / step);
    for (int i = 0; low_ + i * step < high_ + step / 2; ++i) ticks_.push_back(low_ + i * step);
  }

  // Ticks at 1, 2 and 5 of each decade; over many decades at 1 alone.
  void FinishLog() {
    const bool many = high_ / low_ > 3e3;
    std::vector<double> candidates;
    for (int e = static_cast<int>(std::floor(std::log10(low_))) - 1;
         e <= static_cast<int>(std::ceil(std::log10(high_))) + 1; ++e) {
      for (const double factor : {1.0, 2.0, 5.0}) {
        if (!many || factor == 1) candidates.push_back(factor * std::pow(10, e));
      }
    }
    double low = candidates.front();
    double high = candidates.back();
    for (const double tick : candidates) {
      if (tick <= low_ * (1 + 1e-9)) low = tick;
      if (tick >= high_ * (1 - 1e-9) && tick > low && tick < high) high = tick;
    }
    low_ = low;
    high_ = high;
    for (const double tick : candidates) {
      if (tick >= low_ && tick <= high_) ticks_.push_back(tick);
    }
  }

  const bool log_;
  const double from_pixel_;
  const double to_pixel_;
  bool any_ = false;
  double low_ = 0;
  double high_ = 0;
  std::vector<double> ticks_;
};

std::string Text(double x, double y, const std::string& anchor, const std::string& text,
                 const std::string& more = "") {
  return absl::StrFormat("<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\"%s>%s</text>\n", x, y,
                         anchor, more, Escape(text));
}

std::string Line(double x1, double y1, double x2, double y2, const std::string& style) {
  return absl::StrFormat("<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" %s/>\n", x1, y1, x2,
                         y2, style);
}

std::string Stroke(size_t series) {
  const size_t style = series % kStyles;
  std::string stroke = absl::StrCat("stroke=\"", kColors[style], "\" stroke-width=\"2\"");
  if (kDashes[style][0] != '\0') {
    absl::StrAppend(&stroke, " stroke-dasharray=\"", kDashes[style], "\"");
  }
  return stroke;
}

std::string RenderAxes(const Chart& chart, const Axis& x, const Axis& y) {
  const std::string grid = "stroke=\"#d0d0d0\"";
  std::string svg;
  for (const double tick : x.ticks()) {
    svg += Line(x.Pixel(tick), kTop, x.Pixel(tick), kHeight - kBottom, grid);
    svg += Text(x.Pixel(tick), kHeight - kBottom + 18, "middle", absl::StrFormat("%g", tick));
  }
  for (const double tick : y.ticks()) {
    svg += Line(kLeft, y.Pixel(tick), kWidth - kRight, y.Pixel(tick), grid);
    svg += Text(kLeft - 8, y.Pixel(tick) + 4, "end", absl::StrFormat("%g", tick));
  }
  const std::string frame = "stroke=\"#404040\"";
  svg += Line(kLeft, kHeight - kBottom, kWidth - kRight, kHeight - kBottom, frame);
  svg += Line(kLeft, kTop, kLeft, kHeight - kBottom, frame);
  svg += Text((kLeft + kWidth - kRight) / 2, kHeight - 14, "middle", chart.x_label);
  const double middle = (kTop + kHeight - kBottom) / 2;
  svg += Text(18, middle, "middle", chart.y_label,
              absl::StrFormat(" transform=\"rotate(-90 18 %.1f)\"", middle));
  svg += Text(kWidth / 2, 26, "middle", chart.title, " font-size=\"16\"");
  return svg;
}

std::string RenderSeries(const ChartSeries& series, size_t number, const Axis& x, const Axis& y) {
  std::string path;
  std::string marks;
  for (const auto& [px, py] : series.points) {
    if (!x.Takes(px) || !y.Takes(py)) continue;
    absl::StrAppendFormat(&path, "%s%.1f,%.1f", path.empty() ? "" : " ", x.Pixel(px), y.Pixel(py));
    absl::StrAppendFormat(&marks, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"/>\n",
                          x.Pixel(px), y.Pixel(py), kColors[number % kStyles]);
  }
  return absl::StrCat("<polyline points=\"", path, "\" fill=\"none\" ", Stroke(number), "/>\n",
                      marks);
}

std::string RenderLegend(const Chart& chart) {
  size_t longest = 0;
  for (const ChartSeries& series : chart.series) longest = std::max(longest, series.name.size());
  const double width = 50 + 7.0 * static_cast<double>(longest);
  const double height = kLegendLine * static_cast<double>(chart.series.size()) + 8;
  std::string svg = absl::StrFormat(
      "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"white\" "
      "fill-opacity=\"0.85\"/>\n",
      kLeft + 8, kTop + 6, width, height);
  for (size_t i = 0; i < chart.series.size(); ++i) {
    const double y = kTop + 20 + kLegendLine * static_cast<double>(i);
    svg += Line(kLeft + 14, y - 4, kLeft + 44, y - 4, Stroke(i));
    svg += Text(kLeft + 50, y, "start", chart.series[i].name);
  }
  return svg;
}

}  // namespace

std::string RenderSvg(const Chart& chart) {
  Axis x(chart.log_x, kLeft, kWidth - kRight);
  Axis y(chart.log_y, kHeight - kBottom, kTop);
  for (const ChartSeries& series : chart.series) {
    for (const auto& [px, py] : series.points) {
      if (!x.Takes(px) || !y.Takes(py)) continue;
      x.Include(px);
      y.Include(py);
    }
  }
  x.Finish();
  y.Finish();
  std::string svg = absl::StrFormat(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" "
      "font-family=\"sans-serif\" font-size=\"12\" fill=\"#202020\">\n"
      "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
      kWidth, kHeight);
  svg += RenderAxes(chart, x, y);
  for (size_t i = 0; i < chart.series.size(); ++i) svg += RenderSeries(chart.series[i], i, x, y);
  return svg + RenderLegend(chart) + "</svg>\n";
}

}  // namespace sparsed::clients
