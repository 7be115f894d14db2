// What the kernel tests share: matrices that own their memory, random data, error measures.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/isa.h"
#include "kernels/tensor_view.h"

namespace sparsed::kernels {

inline constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

struct Matrix {
  Matrix(int64_t num_rows, int64_t num_cols, float fill = 0.0f)
      : rows(num_rows), cols(num_cols), data(static_cast<size_t>(rows * cols), fill) {}

  float& at(int64_t row, int64_t col) { return data[static_cast<size_t>(row * cols + col)]; }
  float at(int64_t row, int64_t col) const { return data[static_cast<size_t>(row * cols + col)]; }
  TensorView view() { return {data.data(), DType::kF32, rows, cols, cols}; }
  HostMatrix host() const { return {data.data(), DType::kF32, rows, cols}; }

  int64_t rows;
  int64_t cols;
  std::vector<float> data;
};

inline Matrix RandomMatrix(int64_t rows, int64_t cols, uint32_t seed, float deviation = 1.0f) {
  Matrix matrix(rows, cols);
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0.0f, deviation);
  for (float& value : matrix.data) value = normal(generator);
  return matrix;
}

inline bool SameBits(const float* a, const float* b, size_t count) {
  return std::memcmp(a, b, count * sizeof(float)) == 0;
}
inline bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && SameBits(a.data(), b.data(), a.size());
}

// The largest |a - b|; infinity where one is not a number.
class MaxError {
 public:
  void Add(double actual, double expected) {
    const double error = std::abs(actual - expected);
    if (std::isnan(error)) {
      worst_ = std::numeric_limits<double>::infinity();
    } else if (error > worst_) {
      worst_ = error;
    }
  }
  double value() const { return worst_; }

 private:
  double worst_ = 0;
};

}  // namespace sparsed::kernels
