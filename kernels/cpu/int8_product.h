// Products of tiles of 8-bit integers. Sums of integers are exact, so that every implementation
// gives the same ones; in 32 bits they have room up to kMaxInt8Features.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "kernels/cpu/vector_ops.h"

namespace sparsed::kernels {

inline constexpr int64_t kInt8TileRows = 64;
inline constexpr int64_t kInt8SlabColumns = 128;
inline constexpr int64_t kMaxInt8Features = 65536;

// Of one number of input features, a multiple of 64. Threads: `thread` tells the callers apart; a
// slab is only read.
class Int8Product {
 public:
  virtual ~Int8Product() = default;
  virtual std::string Name() const = 0;  // for the log: "oneDNN" or "avx2 loops"
  virtual size_t slab_bytes() const = 0;
  // slab [slab_bytes], 64-byte aligned, holds w [kInt8SlabColumns, in], in [-127, 127].
  virtual void Pack(const int8_t* w, uint8_t* slab) = 0;
  // The rows that Multiply of this thread is for: x [rows, in], rows <= kInt8TileRows. They must
  // stay.
  virtual void SetRows(const uint8_t* x, int64_t rows, int thread) = 0;
  // sums [kInt8TileRows, kInt8SlabColumns], of which the set rows count: x w^T. False: it failed.
  virtual bool Multiply(const uint8_t* slab, int thread, int32_t* sums) = 0;
};

std::unique_ptr<Int8Product> CreatePlainInt8Product(const VectorOps& ops, int64_t in_features,
                                                    int threads);

// Null where there is no oneDNN, or it has no such product. Without VNNI its sums of two products
// saturate at 16 bits: see IsExact.
std::unique_ptr<Int8Product> CreateOneDnnInt8Product(int64_t in_features, int threads);

// Whether the largest products are summed up right. Uses the scratch of thread 0.
bool IsExact(Int8Product& product, int64_t in_features);

}  // namespace sparsed::kernels
