#include "kernels/cpu/convert.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace sparsed::kernels {

float WidenBF16(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

float WidenF16(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000u) << 16;
  const uint32_t exponent = (bits >> 10) & 0x1Fu;
  const uint32_t mantissa = bits & 0x3FFu;
  if (exponent == 0x1F) return std::bit_cast<float>(sign | 0x7F800000u | mantissa << 13);
  if (exponent != 0) return std::bit_cast<float>(sign | (exponent + 112) << 23 | mantissa << 13);
  const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
  return sign != 0 ? -magnitude : magnitude;
}

void WidenElements(const void* src, DType dtype, int64_t count, float* dst) {
  if (dtype == DType::kF32) {
    std::memcpy(dst, src, static_cast<size_t>(count) * sizeof(float));
    return;
  }
  const char* bytes = static_cast<const char*>(src);
  for (int64_t i = 0; i < count; ++i) {
    uint16_t bits;
    std::memcpy(&bits, bytes + 2 * i, sizeof(bits));
    dst[i] = dtype == DType::kBF16 ? WidenBF16(bits) : WidenF16(bits);
  }
}

void WidenStackedRows(std::span<const HostMatrix> parts, int64_t first, int64_t count, float* dst) {
  for (const HostMatrix& part : parts) {
    const int64_t begin = std::clamp<int64_t>(first, 0, part.rows);
    const int64_t end = std::clamp<int64_t>(first + count, 0, part.rows);
    if (begin < end) {
      const int64_t row_bytes = part.cols * static_cast<int64_t>(DTypeBytes(part.dtype));
      const int64_t elements = (end - begin) * part.cols;
      WidenElements(static_cast<const char*>(part.data) + begin * row_bytes, part.dtype, elements,
                    dst);
      dst += elements;
      count -= end - begin;
      first = end;
    }
    first -= part.rows;
  }
}

}  // namespace sparsed::kernels
