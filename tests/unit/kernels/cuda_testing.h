// What the tests of the CUDA backend share: bf16 on the host, copies, the device.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <limits>
#include <random>
#include <vector>

#include "kernels/cuda_library.h"
#include "tests/testing/catch.h"

namespace sparsed::kernels {

inline uint16_t ToBits(float value) {
  uint32_t bits = 0;
  std::memcpy(&bits, &value, 4);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fc0;
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1)) >> 16);
}
inline float FromBits(uint16_t bits) {
  const uint32_t wide = static_cast<uint32_t>(bits) << 16;
  float value = 0;
  std::memcpy(&value, &wide, 4);
  return value;
}
inline float Round(float value) { return FromBits(ToBits(value)); }

inline std::vector<uint16_t> RandomBf16(size_t count, uint32_t seed, float scale = 1) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0, scale);
  std::vector<uint16_t> out(count);
  for (uint16_t& x : out) x = ToBits(normal(generator));
  return out;
}

template <typename T>
Buffer Upload(Backend& backend, const std::vector<T>& host) {
  auto buffer = backend.Alloc(host.size() * sizeof(T));
  REQUIRE(buffer.ok());
  REQUIRE(backend.CopyIn(buffer->data(), host.data(), host.size() * sizeof(T)).ok());
  return std::move(*buffer);
}
template <typename T>
std::vector<T> Download(Backend& backend, const void* device, size_t count) {
  std::vector<T> host(count);
  REQUIRE(backend.CopyOut(host.data(), device, count * sizeof(T)).ok());
  return host;
}
inline TensorView View(const Buffer& buffer, DType dtype, int64_t rows, int64_t cols) {
  return {buffer.data(), dtype, rows, cols, cols};
}

// Initcheck does not come to the end of the algorithms that are tried for products: with
// SPARSED_REFERENCE_PRODUCTS set, none is.
inline std::unique_ptr<Backend> Device(bool portable = false) {
  const bool reference_products = std::getenv("SPARSED_REFERENCE_PRODUCTS") != nullptr;
  auto backend =
      OpenCudaBackend(0, {.portable = portable, .reference_products = reference_products});
  if (backend.ok()) return std::move(*backend);
  WARN(std::string(backend.status().message()));
  return nullptr;
}

}  // namespace sparsed::kernels
