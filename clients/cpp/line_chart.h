// Line charts as SVG.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace sparsed::clients {

struct ChartSeries {
  std::string name;
  std::vector<std::pair<double, double>> points;  // in the order they are joined
};

struct Chart {
  std::string title;
  std::string x_label;
  std::string y_label;
  bool log_x = false;  // points that are not positive are left out on such an axis
  bool log_y = false;
  std::vector<ChartSeries> series;
};

// A whole SVG document with axes, grid, legend and a mark at every point; readable in black and
// white. Numbers that are not finite are left out.
std::string RenderSvg(const Chart& chart);

}  // namespace sparsed::clients
