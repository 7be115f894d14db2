// Row-wise kernels: each moves its bytes once, 16 at a time. One block a row.
#include "kernels/cuda/launch.h"

namespace sparsed::kernels::cuda {
namespace {

constexpr int kThreads = 256;

struct alignas(16) Bf16x8 {
  __nv_bfloat162 pair[4];
};

__device__ Bf16x8 Load8(const Bf16* p) { return *reinterpret_cast<const Bf16x8*>(p); }
__device__ void Store8(Bf16* p, const Bf16x8& v) { *reinterpret_cast<Bf16x8*>(p) = v; }

__global__ void EmbedKernel(Bf16* out, int64_t out_stride, const Bf16* table, const int32_t* ids,
                            int64_t cols) {
  const int64_t row = blockIdx.x;
  const Bf16* source = table + static_cast<int64_t>(ids[row]) * cols;
  for (int64_t c = threadIdx.x * 8; c < cols; c += blockDim.x * 8) {
    Store8(out + row * out_stride + c, Load8(source + c));
  }
}

__global__ void GatherRowsKernel(Bf16* out, int64_t out_stride, const Bf16* x, int64_t x_stride,
                                 const int32_t* rows_index, int64_t cols) {
  const int64_t row = blockIdx.x;
  const Bf16* source = x + static_cast<int64_t>(rows_index[row]) * x_stride;
  for (int64_t c = threadIdx.x * 8; c < cols; c += blockDim.x * 8) {
    Store8(out + row * out_stride + c, Load8(source + c));
  }
}

// Sum over the block, the same on every thread; the order of additions is fixed.
__device__ float BlockSum(float value) {
  __shared__ float partial[32];
#pragma unroll
  for (int d = 16; d > 0; d /= 2) value += __shfl_xor_sync(0xffffffffu, value, d);
  const int warp = threadIdx.x / 32;
  if (threadIdx.x % 32 == 0) partial[warp] = value;
  __syncthreads();
  float sum = 0;
  for (int w = 0; w < static_cast<int>(blockDim.x) / 32; ++w) sum += partial[w];
  return sum;
}

__global__ void RmsNormKernel(Bf16* out, int64_t out_stride, const Bf16* x, int64_t x_stride,
                              const float* weight, float eps, int64_t cols) {
  const Bf16* source = x + blockIdx.x * x_stride;
  Bf16* target = out + blockIdx.x * out_stride;
  float sum = 0;
  for (int64_t c = threadIdx.x * 8; c < cols; c += blockDim.x * 8) {
    const Bf16x8 v = Load8(source + c);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float2 f = __bfloat1622float2(v.pair[i]);
      sum += f.x * f.x + f.y * f.y;
    }
  }
  const float inverse = rsqrtf(BlockSum(sum) / static_cast<float>(cols) + eps);
  for (int64_t c = threadIdx.x * 8; c < cols; c += blockDim.x * 8) {
    Bf16x8 v = Load8(source + c);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float2 f = __bfloat1622float2(v.pair[i]);
      const float a = __bfloat162float(__float2bfloat16_rn(f.x * inverse)) * weight[c + 2 * i];
      const float b = __bfloat162float(__float2bfloat16_rn(f.y * inverse)) * weight[c + 2 * i + 1];
      v.pair[i] = __floats2bfloat162_rn(a, b);
    }
    Store8(target + c, v);
  }
}

// A thread rotates 8 pairs (j .. j+7, j + D/2 ..).
__global__ void RopeKernel(Bf16* x, int64_t stride, const int32_t* positions, const float* cos_sin,
                           int64_t heads, int32_t head_dim) {
  const int32_t half = head_dim / 2;
  const int32_t chunks = half / 8;
  const float* table = cos_sin + static_cast<int64_t>(positions[blockIdx.x]) * head_dim;
  for (int64_t i = threadIdx.x; i < heads * chunks; i += blockDim.x) {
    const int64_t head = i / chunks;
    const int32_t j = static_cast<int32_t>(i % chunks) * 8;
    Bf16* low = x + blockIdx.x * stride + head * head_dim + j;
    Bf16x8 a = Load8(low);
    Bf16x8 b = Load8(low + half);
#pragma unroll
    for (int p = 0; p < 4; ++p) {
      const float2 fa = __bfloat1622float2(a.pair[p]);
      const float2 fb = __bfloat1622float2(b.pair[p]);
      const float c0 = table[j + 2 * p], c1 = table[j + 2 * p + 1];
      const float s0 = table[half + j + 2 * p], s1 = table[half + j + 2 * p + 1];
      a.pair[p] = __floats2bfloat162_rn(fa.x * c0 - fb.x * s0, fa.y * c1 - fb.y * s1);
      b.pair[p] = __floats2bfloat162_rn(fb.x * c0 + fa.x * s0, fb.y * c1 + fa.y * s1);
    }
    Store8(low, a);
    Store8(low + half, b);
  }
}

__device__ float Silu(float x) { return x / (1.0f + __expf(-x)); }

__global__ void SiluMulKernel(Bf16* out, int64_t out_stride, const Bf16* gate_up,
                              int64_t gate_up_stride, int64_t cols) {
  const Bf16* gate = gate_up + blockIdx.x * gate_up_stride;
  for (int64_t c = threadIdx.x * 8; c < cols; c += blockDim.x * 8) {
    const Bf16x8 g = Load8(gate + c);
    Bf16x8 u = Load8(gate + cols + c);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float2 fg = __bfloat1622float2(g.pair[i]);
      const __nv_bfloat162 activated = __floats2bfloat162_rn(Silu(fg.x), Silu(fg.y));
      u.pair[i] = __hmul2(activated, u.pair[i]);
    }
    Store8(out + blockIdx.x * out_stride + c, u);
  }
}

unsigned Grid(int64_t rows) { return static_cast<unsigned>(rows); }

}  // namespace

cudaError_t LaunchEmbed(Bf16* out, int64_t out_stride, const Bf16* table, const int32_t* ids,
                        int64_t rows, int64_t cols, cudaStream_t stream) {
  if (rows == 0) return cudaSuccess;
  EmbedKernel<<<Grid(rows), kThreads, 0, stream>>>(out, out_stride, table, ids, cols);
  return cudaGetLastError();
}

cudaError_t LaunchRmsNorm(Bf16* out, int64_t out_stride, const Bf16* x, int64_t x_stride,
                          const float* weight, float eps, int64_t rows, int64_t cols,
                          cudaStream_t stream) {
  if (rows == 0) return cudaSuccess;
  RmsNormKernel<<<Grid(rows), kThreads, 0, stream>>>(out, out_stride, x, x_stride, weight, eps,
                                                     cols);
  return cudaGetLastError();
}

cudaError_t LaunchRope(Bf16* x, int64_t stride, const int32_t* positions, const float* cos_sin,
                       int64_t rows, int64_t heads, int32_t head_dim, cudaStream_t stream) {
  if (rows == 0) return cudaSuccess;
  RopeKernel<<<Grid(rows), kThreads, 0, stream>>>(x, stride, positions, cos_sin, heads, head_dim);
  return cudaGetLastError();
}

cudaError_t LaunchSiluMul(Bf16* out, int64_t out_stride, const Bf16* gate_up,
                          int64_t gate_up_stride, int64_t rows, int64_t cols, cudaStream_t stream) {
  if (rows == 0) return cudaSuccess;
  SiluMulKernel<<<Grid(rows), kThreads, 0, stream>>>(out, out_stride, gate_up, gate_up_stride,
                                                     cols);
  return cudaGetLastError();
}

cudaError_t LaunchGatherRows(Bf16* out, int64_t out_stride, const Bf16* x, int64_t x_stride,
                             const int32_t* rows_index, int64_t rows, int64_t cols,
                             cudaStream_t stream) {
  if (rows == 0) return cudaSuccess;
  GatherRowsKernel<<<Grid(rows), kThreads, 0, stream>>>(out, out_stride, x, x_stride, rows_index,
                                                        cols);
  return cudaGetLastError();
}

}  // namespace sparsed::kernels::cuda
