#include "kernels/cpu/convert.h"

#include <algorithm>
#include <cstring>

namespace sparsed::kernels {

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
