// Rows in pieces of 8 elements: 16 bytes of bf16, 32 of float32. Device code only.
#pragma once

#include "kernels/cuda/launch.h"

namespace sparsed::kernels::cuda {

struct alignas(16) Bf16x8 {
  __nv_bfloat162 pair[4];
};

__device__ inline Bf16x8 Load8(const Bf16* p) { return *reinterpret_cast<const Bf16x8*>(p); }
__device__ inline void Store8(Bf16* p, const Bf16x8& v) { *reinterpret_cast<Bf16x8*>(p) = v; }

// Read at a multiple of 16 bytes.
struct Float8 {
  float v[8];
};
__device__ inline Float8 LoadFloat8(const float* p) {
  const float4 a = reinterpret_cast<const float4*>(p)[0];
  const float4 b = reinterpret_cast<const float4*>(p)[1];
  return {{a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w}};
}

// What a norm makes of eight values: scaled by `inverse` and rounded, then times the weight and
// rounded again.
__device__ inline void ScaleTwice(Bf16x8& values, float inverse, const Float8& weight) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const float2 f = __bfloat1622float2(values.pair[i]);
    const float a = __bfloat162float(__float2bfloat16_rn(f.x * inverse)) * weight.v[2 * i];
    const float b = __bfloat162float(__float2bfloat16_rn(f.y * inverse)) * weight.v[2 * i + 1];
    values.pair[i] = __floats2bfloat162_rn(a, b);
  }
}

// sum plus the squares of eight values.
__device__ inline float AddSquares(float sum, const Bf16x8& values) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const float2 f = __bfloat1622float2(values.pair[i]);
    sum += f.x * f.x + f.y * f.y;
  }
  return sum;
}

}  // namespace sparsed::kernels::cuda
