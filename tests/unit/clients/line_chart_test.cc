#include "clients/cpp/line_chart.h"

#include <cmath>
#include <limits>
#include <regex>

#include "tests/testing/catch.h"

namespace sparsed::clients {
namespace {

std::vector<std::pair<double, double>> Marks(const std::string& svg) {
  std::vector<std::pair<double, double>> marks;
  const std::regex pattern("<circle cx=\"([0-9.]+)\" cy=\"([0-9.]+)\"");
  for (std::sregex_iterator it(svg.begin(), svg.end(), pattern), end; it != end; ++it) {
    marks.emplace_back(std::stod((*it)[1]), std::stod((*it)[2]));
  }
  return marks;
}

size_t Count(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

}  // namespace

TEST_CASE("chart: points go right and up as their numbers grow, in their series' order") {
  const std::string svg = RenderSvg(
      {"t", "x", "y", false, false, {{"a", {{0, 0}, {5, 1}, {10, 2}}}, {"b", {{10, 1}}}}});
  const auto marks = Marks(svg);
  REQUIRE(marks.size() == 4);
  CHECK(marks[0].first < marks[1].first);
  CHECK(marks[1].first < marks[2].first);
  CHECK(marks[1].second < marks[0].second);
  CHECK(marks[2].second < marks[1].second);
  // The same numbers are the same places; equal steps are equal distances.
  CHECK(marks[3].first == marks[2].first);
  CHECK(marks[3].second == marks[1].second);
  CHECK(marks[1].first - marks[0].first == Approx(marks[2].first - marks[1].first).margin(0.11));
  CHECK(Count(svg, "<polyline ") == 2);
}

TEST_CASE("chart: on a logarithmic axis equal ratios are equal distances") {
  const std::string svg =
      RenderSvg({"", "", "", true, true, {{"a", {{1, 0.01}, {10, 0.1}, {100, 1}}}}});
  const auto marks = Marks(svg);
  REQUIRE(marks.size() == 3);
  CHECK(marks[1].first - marks[0].first == Approx(marks[2].first - marks[1].first).margin(0.11));
  CHECK(marks[0].second - marks[1].second ==
        Approx(marks[1].second - marks[2].second).margin(0.11));
  CHECK(svg.find(">0.01<") != std::string::npos);
  CHECK(svg.find(">100<") != std::string::npos);
}

TEST_CASE("chart: everything is inside the picture, whatever the numbers") {
  for (const bool log : {false, true}) {
    for (const auto& points :
         std::vector<std::vector<std::pair<double, double>>>{{},
                                                             {{3, 7}},
                                                             {{1e-9, 1e9}, {1e9, 1e-9}},
                                                             {{0.3, 0.3}, {0.3, 0.3}},
                                                             {{7, 4999}, {9, 5001}},
                                                             {{-5, -7}, {5, 7}}}) {
      const std::string svg = RenderSvg({"t", "x", "y", log, log, {{"a", points}}});
      CHECK(svg.find("nan") == std::string::npos);
      CHECK(svg.find("inf") == std::string::npos);
      for (const auto& [x, y] : Marks(svg)) {
        CHECK(x >= 70);
        CHECK(x <= 740);
        CHECK(y >= 50);
        CHECK(y <= 384);
      }
      CHECK(Count(svg, "<line ") < 60);
      CHECK(Count(svg, "<line ") >= 5);
    }
  }
}

TEST_CASE("chart: what cannot be shown is left out, what is text is escaped") {
  const double nan = std::nan("");
  const double infinity = std::numeric_limits<double>::infinity();
  const std::string svg = RenderSvg({"a < b & \"c\"",
                                     "",
                                     "",
                                     false,
                                     true,
                                     {{"<s>", {{1, 1}, {nan, 1}, {1, infinity}, {1, 0}, {2, 2}}}}});
  CHECK(Marks(svg).size() == 2);
  CHECK(svg.find("a &lt; b &amp; &quot;c&quot;") != std::string::npos);
  CHECK(svg.find("&lt;s&gt;") != std::string::npos);
  CHECK(Count(svg, "<text ") == Count(svg, "</text>"));
  CHECK(svg.rfind("</svg>\n") == svg.size() - 7);
}

}  // namespace sparsed::clients
