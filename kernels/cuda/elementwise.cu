// Row-wise kernels: each moves its bytes once, 16 at a time. One block a row.
#include "kernels/cuda/launch.h"
#include "kernels/cuda/pieces.cuh"

namespace sparsed::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr unsigned kMaxThreads = 1024;

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

// A thread keeps its kChunks pieces of 8 columns in registers between the sum and the result.
template <int kChunks>
__global__ void RmsNormKernel(Bf16* out, int64_t out_stride, const Bf16* x, int64_t x_stride,
                              const float* weight, float eps, int32_t cols) {
  const Bf16* source = x + blockIdx.x * x_stride;
  Bf16* target = out + blockIdx.x * out_stride;
  const int32_t step = static_cast<int32_t>(blockDim.x) * 8;
  const int32_t first = static_cast<int32_t>(threadIdx.x) * 8;
  Bf16x8 values[kChunks];
#pragma unroll
  for (int k = 0; k < kChunks; ++k) {
    if (first + k * step < cols) values[k] = Load8(source + first + k * step);
  }
  float sum = 0;
#pragma unroll
  for (int k = 0; k < kChunks; ++k) {
    if (first + k * step < cols) sum = AddSquares(sum, values[k]);
  }
  const float inverse = rsqrtf(BlockSum(sum) / static_cast<float>(cols) + eps);
#pragma unroll
  for (int k = 0; k < kChunks; ++k) {
    if (first + k * step >= cols) continue;
    ScaleTwice(values[k], inverse, LoadFloat8(weight + first + k * step));
    Store8(target + first + k * step, values[k]);
  }
}

// One head to a group of kLanes lanes of a warp, a piece to a lane; groups take the heads of a row
// in turn. A head's sum is added up in the same order whatever else is in its warp.
template <int kLanes>
__global__ void HeadNormKernel(Bf16* x, int64_t stride, const float* weight, float eps,
                               int32_t heads, int32_t head_dim) {
  const int32_t groups = static_cast<int32_t>(blockDim.x) / kLanes;
  const int32_t group = static_cast<int32_t>(threadIdx.x) / kLanes;
  const int32_t column = static_cast<int32_t>(threadIdx.x) % kLanes * 8;
  // All lanes of a warp go round equally often: they exchange sums.
  for (int32_t first = 0; first < heads; first += groups) {
    const bool mine = first + group < heads && column < head_dim;
    Bf16* piece = x + blockIdx.x * stride + int64_t{first + group} * head_dim + column;
    Bf16x8 values = {};
    if (mine) values = Load8(piece);
    float sum = AddSquares(0, values);
#pragma unroll
    for (int d = kLanes / 2; d > 0; d /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, d);
    if (!mine) continue;
    ScaleTwice(values, rsqrtf(sum / static_cast<float>(head_dim) + eps),
               LoadFloat8(weight + column));
    Store8(piece, values);
  }
}

// A thread rotates 8 pairs (j .. j+7, j + D/2 ..) of one head after another: it keeps their angles.
// The block has a multiple of D/16 threads.
__global__ void RopeKernel(Bf16* x, int64_t stride, const int32_t* positions, const float* cos_sin,
                           int32_t heads, int32_t head_dim) {
  const int32_t half = head_dim / 2;
  const int32_t chunks = half / 8;
  const int32_t j = static_cast<int32_t>(threadIdx.x) % chunks * 8;
  const float* table = cos_sin + static_cast<int64_t>(positions[blockIdx.x]) * head_dim + j;
  const Float8 cosine = LoadFloat8(table);
  const Float8 sine = LoadFloat8(table + half);
  const int32_t heads_at_once = static_cast<int32_t>(blockDim.x) / chunks;
  Bf16* row = x + blockIdx.x * stride + j;
  for (int32_t h = static_cast<int32_t>(threadIdx.x) / chunks; h < heads; h += heads_at_once) {
    Bf16* low = row + h * head_dim;
    Bf16x8 a = Load8(low);
    Bf16x8 b = Load8(low + half);
#pragma unroll
    for (int p = 0; p < 4; ++p) {
      const float2 fa = __bfloat1622float2(a.pair[p]);
      const float2 fb = __bfloat1622float2(b.pair[p]);
      const float c0 = cosine.v[2 * p], c1 = cosine.v[2 * p + 1];
      const float s0 = sine.v[2 * p], s1 = sine.v[2 * p + 1];
      a.pair[p] = __floats2bfloat162_rn(fa.x * c0 - fb.x * s0, fa.y * c1 - fb.y * s1);
      b.pair[p] = __floats2bfloat162_rn(fb.x * c0 + fa.x * s0, fb.y * c1 + fa.y * s1);
    }
    Store8(low, a);
    Store8(low + half, b);
  }
}

// Below -88 the denominator is beyond what the fast division takes: it gives 0, as it should.
__device__ float Silu(float x) { return __fdividef(x, 1.0f + __expf(-x)); }

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
  const auto pieces = static_cast<unsigned>(cols / 8);
  const auto launch = [&](auto kernel, unsigned chunks) {
    const unsigned threads = ((pieces + chunks - 1) / chunks + 31) / 32 * 32;
    if (threads > kMaxThreads) return cudaErrorInvalidValue;
    kernel<<<Grid(rows), threads, 0, stream>>>(out, out_stride, x, x_stride, weight, eps,
                                               static_cast<int32_t>(cols));
    return cudaGetLastError();
  };
  if (pieces <= kThreads) return launch(RmsNormKernel<1>, 1);
  if (pieces <= 2 * kThreads) return launch(RmsNormKernel<2>, 2);
  return launch(RmsNormKernel<4>, 4);
}

cudaError_t LaunchHeadNorm(Bf16* x, int64_t stride, const float* weight, float eps, int64_t rows,
                           int64_t heads, int32_t head_dim, cudaStream_t stream) {
  if (rows == 0) return cudaSuccess;
  const auto launch = [&](auto kernel) {
    kernel<<<Grid(rows), kThreads, 0, stream>>>(x, stride, weight, eps, static_cast<int32_t>(heads),
                                                head_dim);
    return cudaGetLastError();
  };
  if (head_dim <= 64) return launch(HeadNormKernel<8>);
  if (head_dim <= 128) return launch(HeadNormKernel<16>);
  if (head_dim <= 256) return launch(HeadNormKernel<32>);
  return cudaErrorInvalidValue;
}

cudaError_t LaunchRope(Bf16* x, int64_t stride, const int32_t* positions, const float* cos_sin,
                       int64_t rows, int64_t heads, int32_t head_dim, cudaStream_t stream) {
  if (rows == 0) return cudaSuccess;
  const auto chunks = static_cast<unsigned>(head_dim / 16);
  if (chunks == 0 || chunks > kThreads) return cudaErrorInvalidValue;
  RopeKernel<<<Grid(rows), kThreads / chunks * chunks, 0, stream>>>(
      x, stride, positions, cos_sin, static_cast<int32_t>(heads), head_dim);
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
