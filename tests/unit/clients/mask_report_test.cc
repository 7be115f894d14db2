#include "clients/cpp/mask_report.h"

#include <zlib.h>

#include "absl/strings/escaping.h"
#include "clients/cpp/mask_page.h"
#include "clients/cpp/png.h"
#include "tests/testing/catch.h"

namespace sparsed::clients {
namespace {

// Two layers, one head, 9 blocks; the steps 1 (full), 3 (select) and 6 (sparse). Of row q a head
// keeps the keys up to q.
MaskReport MakeReport() {
  MaskReport report;
  v1::InspectionStarted& started = report.started;
  started.add_layers(0);
  started.add_layers(5);
  started.add_heads(2);
  for (const uint32_t step : {1u, 3u, 6u, 9u}) started.add_steps(step);
  started.set_select_step(3);
  started.set_block_size(32);
  started.set_blocks(9);
  report.result.set_model("<nano>");
  report.result.mutable_sparse()->set_used(true);
  const std::vector<std::vector<double>> similarities = {{1}, {0.5, 1}, {0.25, 0.75, 1}};
  for (size_t step = 0; step < 3; ++step) {
    for (const uint32_t layer : {0u, 5u}) {
      v1::HeadPattern& head = report.heads.emplace_back();
      head.set_step(started.steps(static_cast<int>(step)));
      head.set_kind(static_cast<v1::StepKind>(step + 1));
      head.set_layer(layer);
      head.set_head(2);
      for (uint32_t query = 0; query < 9; ++query) {
        const uint32_t bits = (2u << query) - 1;
        head.mutable_kept()->push_back(static_cast<char>(bits & 0xFF));
        head.mutable_kept()->push_back(static_cast<char>(bits >> 8));
        for (uint32_t key = 0; key < 9; ++key) head.add_importance(key == query ? 1 / 32.0f : 0);
      }
      head.set_fresh_recall(0.9);
      if (step > 0) head.set_recall(layer == 0 ? 0.8 : 0.6);
      for (const double value : similarities[step]) {
        head.add_similarity(layer == 0 || value == 1 ? value : value / 2);
      }
    }
  }
  return report;
}

size_t Occurrences(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

uint32_t NumberAt(const std::string& bytes, size_t at) {
  uint32_t number = 0;
  for (size_t i = 0; i < 4; ++i) {
    number = number << 8 | static_cast<unsigned char>(bytes[at + i]);
  }
  return number;
}

// The pixels of a PNG of one IDAT chunk, without the filter bytes; its checksums must be right.
std::vector<uint8_t> PixelsOf(const std::string& png) {
  REQUIRE(png.substr(0, 8) == "\x89PNG\r\n\x1a\n");
  uint32_t width = 0;
  uint32_t height = 0;
  std::vector<uint8_t> pixels;
  for (size_t at = 8; at < png.size();) {
    const uint32_t size = NumberAt(png, at);
    const std::string type = png.substr(at + 4, 4);
    const std::string checked = png.substr(at + 4, 4 + size);
    CHECK(NumberAt(png, at + 8 + size) == crc32(0, reinterpret_cast<const Bytef*>(checked.data()),
                                                static_cast<uInt>(checked.size())));
    if (type == "IHDR") {
      width = NumberAt(png, at + 8);
      height = NumberAt(png, at + 12);
    } else if (type == "IDAT") {
      std::vector<uint8_t> rows(size_t{height} * (width + 1));
      uLongf unpacked = rows.size();
      REQUIRE(uncompress(rows.data(), &unpacked,
                         reinterpret_cast<const Bytef*>(png.data()) + at + 8, size) == Z_OK);
      REQUIRE(unpacked == rows.size());
      for (uint32_t y = 0; y < height; ++y) {
        REQUIRE(rows[size_t{y} * (width + 1)] == 0);
        for (uint32_t x = 0; x < width; ++x) pixels.push_back(rows[y * (width + 1) + 1 + x]);
      }
    }
    at += 12 + size;
  }
  REQUIRE(pixels.size() == size_t{width} * height);
  return pixels;
}

}  // namespace

TEST_CASE("mask report: steps are summed up over their heads") {
  const MaskReport report = MakeReport();
  REQUIRE(CheckReport(report).ok());
  CHECK(IsKept(report.heads[0], 9, 8, 8));
  CHECK(IsKept(report.heads[0], 9, 7, 7));
  CHECK_FALSE(IsKept(report.heads[0], 9, 7, 8));
  const std::vector<StepSummary> steps = Summarize(report);
  REQUIRE(steps.size() == 3);  // the fourth was not reached
  CHECK(steps[0].step == 1);
  CHECK_FALSE(steps[0].recall.has_value());
  CHECK(*steps[0].fresh_recall == Approx(0.9));
  CHECK(*steps[0].similarity == Approx(0.375));
  CHECK(steps[1].similarity == 1.0);
  CHECK(*steps[2].recall == Approx(0.7));
  CHECK(steps[2].least_recall == 0.6);
  CHECK(steps[2].least_layer == 5);
  CHECK(steps[2].least_head == 2);
  CHECK(*steps[2].similarity == Approx(0.5625));
  CHECK(steps[2].kept == Approx(45.0 / 81));
  const auto means = MeanSimilarities(report);
  CHECK(means[0][2] == means[2][0]);
  CHECK(means[2][0] == Approx(0.1875));
  CHECK(means[1][1] == 1);
}

TEST_CASE("mask report: parts that do not fit together are refused") {
  MaskReport report = MakeReport();
  report.heads.pop_back();
  CHECK_FALSE(CheckReport(report).ok());
  report = MakeReport();
  report.heads[2].mutable_kept()->pop_back();
  CHECK_FALSE(CheckReport(report).ok());
  report = MakeReport();
  report.heads[3].mutable_importance()->RemoveLast();
  CHECK_FALSE(CheckReport(report).ok());
  report = MakeReport();
  report.heads[4].clear_similarity();
  CHECK_FALSE(CheckReport(report).ok());
  report = MakeReport();
  report.started.clear_layers();
  CHECK_FALSE(CheckReport(report).ok());
}

TEST_CASE("mask page: it has a picture for every head, its numbers, and asks nobody for anything") {
  const MaskReport report = MakeReport();
  const std::string page = RenderMaskPage(report);
  CHECK(Occurrences(page, "<img ") == 6);
  CHECK(Occurrences(page, "data:image/png;base64,") == 6);
  CHECK(Occurrences(page, "src=") == 6);
  CHECK(Occurrences(page, "<script") == 0);
  CHECK(page.find("http:") == std::string::npos);
  CHECK(page.find("https:") == std::string::npos);
  CHECK(page.find("<nano>") == std::string::npos);
  CHECK(Occurrences(page, "&#60;nano&#62;") == 1);
  CHECK(Occurrences(page, "<details open>") == 1);
  CHECK(page.find("<details open><summary>Step 3, select") != std::string::npos);
  CHECK(page.find("title=\"step 6, layer 5, head 2, recall 0.600\"") != std::string::npos);
}

TEST_CASE("mask page: kept blocks have the palette's upper half, mass makes them stronger") {
  MaskReport report = MakeReport();
  const auto picture = [&report] {
    const std::string page = RenderMaskPage(report);
    const size_t first = page.find("base64,") + 7;
    std::string png;
    REQUIRE(absl::Base64Unescape(page.substr(first, page.find('"', first) - first), &png));
    return PixelsOf(png);
  };
  std::vector<uint8_t> pixels = picture();
  REQUIRE(pixels.size() == 81);
  CHECK(pixels[0] == 255);                        // kept, all of its row's mass
  CHECK(pixels[8 * 9 + 1] == 128);                // kept, no mass
  CHECK(pixels[1] == 0);                          // dropped, no mass
  report.heads[0].set_importance(1, 1 / 128.0f);  // dropped, a quarter of the mass
  CHECK(picture()[1] == 64);
  for (v1::HeadPattern& head : report.heads) head.clear_importance();
  pixels = picture();
  CHECK(pixels[8 * 9 + 1] == 255);
  CHECK(pixels[1] == 0);
}

}  // namespace sparsed::clients
