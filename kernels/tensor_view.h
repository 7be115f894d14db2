// Shapes and memory as the kernels see them.
//
// Shape alphabet, used in comments and kernel math everywhere:
//   B sequences, T packed rows (tokens of all sequences), N tokens of one sequence, P prompt
//   tokens, H query heads, Hkv key/value heads, D head dim, E model dim, F feed-forward dim, V
//   vocabulary, nQ, nKV attention blocks of the query and the key side, R gathered rows.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sparsed::kernels {

enum class DType : uint8_t { kF32, kF16, kBF16, kI32 };

constexpr size_t DTypeBytes(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kI32 ? 4 : 2;
}

// A row-major matrix in a backend's memory; owns nothing. `stride` counts elements between the
// starts of neighbouring rows, so a range of columns of a wider matrix is a view as well.
struct TensorView {
  void* data = nullptr;
  DType dtype = DType::kF32;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride = 0;

  // Columns [first, first + count) of every row.
  TensorView Columns(int64_t first, int64_t count) const {
    TensorView view = *this;
    view.data = static_cast<char*>(data) + first * static_cast<int64_t>(DTypeBytes(dtype));
    view.cols = count;
    return view;
  }
  // Rows [first, first + count).
  TensorView Rows(int64_t first, int64_t count) const {
    TensorView view = *this;
    view.data = static_cast<char*>(data) + first * stride * static_cast<int64_t>(DTypeBytes(dtype));
    view.rows = count;
    return view;
  }
};

// A dense matrix in host memory, as a checkpoint stores it; owns nothing.
struct HostMatrix {
  const void* data = nullptr;  // may be unaligned: read it with memcpy
  DType dtype = DType::kBF16;
  int64_t rows = 0;
  int64_t cols = 0;
  bool keep_full = false;  // as a weight it is not held in 8 bits, whatever the others are
};

}  // namespace sparsed::kernels
