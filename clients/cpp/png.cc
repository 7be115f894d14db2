#include "clients/cpp/png.h"

#include <zlib.h>

namespace sparsed::clients {
namespace {

void AppendNumber(uint32_t number, std::string* out) {
  for (int shift = 24; shift >= 0; shift -= 8) out->push_back(static_cast<char>(number >> shift));
}

// Length, type, data, and the checksum of type and data.
void AppendChunk(const std::string& type, const std::string& data, std::string* out) {
  const std::string checked = type + data;
  AppendNumber(static_cast<uint32_t>(data.size()), out);
  *out += checked;
  const auto* bytes = reinterpret_cast<const Bytef*>(checked.data());
  AppendNumber(static_cast<uint32_t>(crc32(0, bytes, static_cast<uInt>(checked.size()))), out);
}

std::string Deflate(const std::string& data) {
  uLongf size = compressBound(static_cast<uLong>(data.size()));
  std::string packed(size, '\0');
  // Fails only where there is too little room, and that much is always enough.
  compress2(reinterpret_cast<Bytef*>(packed.data()), &size,
            reinterpret_cast<const Bytef*>(data.data()), static_cast<uLong>(data.size()),
            Z_BEST_COMPRESSION);
  packed.resize(size);
  return packed;
}

}  // namespace

std::string EncodePng(const Picture& picture, const std::array<Color, 256>& palette) {
  std::string header;
  AppendNumber(picture.width, &header);
  AppendNumber(picture.height, &header);
  // 8 bits a pixel, colours from the palette, deflated, rows one after the other.
  header += {8, 3, 0, 0, 0};
  std::string colors;
  for (const Color& color : palette) {
    colors.push_back(static_cast<char>(color.red));
    colors.push_back(static_cast<char>(color.green));
    colors.push_back(static_cast<char>(color.blue));
  }
  std::string rows;
  rows.reserve(picture.pixels.size() + picture.height);
  for (uint32_t y = 0; y < picture.height; ++y) {
    rows.push_back(0);  // no filter
    rows.append(reinterpret_cast<const char*>(picture.pixels.data()) + size_t{y} * picture.width,
                picture.width);
  }
  std::string png = "\x89PNG\r\n\x1a\n";
  AppendChunk("IHDR", header, &png);
  AppendChunk("PLTE", colors, &png);
  AppendChunk("IDAT", Deflate(rows), &png);
  AppendChunk("IEND", "", &png);
  return png;
}

}  // namespace sparsed::clients
