#include "engine/models/host_floats.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "kernels/half.h"

namespace sparsed::engine {

std::vector<float> ToFloats(const kernels::HostMatrix& matrix) {
  const int64_t count = matrix.rows * matrix.cols;
  std::vector<float> floats(count);
  if (matrix.dtype == kernels::DType::kF32) {
    std::memcpy(floats.data(), matrix.data, count * sizeof(float));
    return floats;
  }
  std::vector<uint16_t> halves(count);
  std::memcpy(halves.data(), matrix.data, count * sizeof(uint16_t));
  for (int64_t i = 0; i < count; ++i) {
    floats[i] = matrix.dtype == kernels::DType::kF16 ? kernels::WidenF16(halves[i])
                                                     : kernels::WidenBF16(halves[i]);
  }
  return floats;
}

std::vector<float> RopeTable(const ModelInfo& info, kernels::DType activations) {
  const int32_t half = info.head_dim / 2;
  std::vector<float> table(size_t{static_cast<uint32_t>(info.max_tokens)} * info.head_dim);
  std::vector<float> inverse_frequencies(half);
  for (int32_t j = 0; j < half; ++j) {
    const float exponent = static_cast<float>(2 * j) / static_cast<float>(info.head_dim);
    inverse_frequencies[j] = 1.0f / std::pow(info.rope_theta, exponent);
  }
  for (int64_t position = 0; position < info.max_tokens; ++position) {
    float* row = table.data() + position * info.head_dim;
    for (int32_t j = 0; j < half; ++j) {
      const float angle = static_cast<float>(position) * inverse_frequencies[j];
      row[j] = static_cast<float>(std::cos(static_cast<double>(angle)));
      row[half + j] = static_cast<float>(std::sin(static_cast<double>(angle)));
    }
  }
  if (info.rounds_rotation && activations == kernels::DType::kBF16) {
    for (float& value : table) value = kernels::WidenBF16(kernels::RoundToBF16(value));
  }
  return table;
}

}  // namespace sparsed::engine
