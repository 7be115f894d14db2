// Small pictures as PNG files.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace sparsed::clients {

struct Color {
  uint8_t red = 0;
  uint8_t green = 0;
  uint8_t blue = 0;
};

// A picture whose pixels are numbers of colours, row by row from the top.
struct Picture {
  uint32_t width = 0;
  uint32_t height = 0;
  std::vector<uint8_t> pixels;  // width x height
};

std::string EncodePng(const Picture& picture, const std::array<Color, 256>& palette);

}  // namespace sparsed::clients
