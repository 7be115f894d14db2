// Counting, and the random numbers that products are tried with.
#include "kernels/cuda/launch.h"

namespace sparsed::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kMaxBlocks = 1024;

// Adds the block's sum to *total. Integers: the order of additions changes nothing.
__device__ void AddBlockSum(unsigned long long value, unsigned long long* total) {
#pragma unroll
  for (int d = 16; d > 0; d /= 2) value += __shfl_xor_sync(0xffffffffu, value, d);
  if (threadIdx.x % 32 == 0 && value != 0) atomicAdd(total, value);
}

__global__ void CountBitsKernel(const uint64_t* words, int64_t num_words,
                                unsigned long long* total) {
  unsigned long long bits = 0;
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < num_words;
       i += step) {
    bits += static_cast<unsigned long long>(__popcll(words[i]));
  }
  AddBlockSum(bits, total);
}

__global__ void CountDifferencesKernel(const uint32_t* a, const uint32_t* b, int64_t num_words,
                                       unsigned long long* total) {
  unsigned long long different = 0;
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < num_words;
       i += step) {
    different += a[i] != b[i] ? 1u : 0u;
  }
  AddBlockSum(different, total);
}

// splitmix64 (Steele, Lea, Flood 2014) at a place of its sequence.
__device__ uint64_t Mix(uint64_t state) {
  state += 0x9e3779b97f4a7c15u;
  state = (state ^ (state >> 30)) * 0xbf58476d1ce4e5b9u;
  state = (state ^ (state >> 27)) * 0x94d049bb133111ebu;
  return state ^ (state >> 31);
}

__global__ void FillRandomKernel(Bf16* out, int64_t count, uint64_t seed) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count;
       i += step) {
    const uint64_t bits = Mix(seed + static_cast<uint64_t>(i));
    out[i] = __float2bfloat16_rn(static_cast<float>(bits >> 40) * 0x1p-23f - 1.0f);
  }
}

unsigned Grid(int64_t elements) {
  const int64_t blocks = (elements + kThreads - 1) / kThreads;
  return static_cast<unsigned>(blocks < kMaxBlocks ? blocks : kMaxBlocks);
}

}  // namespace

cudaError_t LaunchCountBits(const uint64_t* words, int64_t num_words, int64_t* count,
                            cudaStream_t stream) {
  const cudaError_t cleared = cudaMemsetAsync(count, 0, sizeof(*count), stream);
  if (cleared != cudaSuccess || num_words == 0) return cleared;
  CountBitsKernel<<<Grid(num_words), kThreads, 0, stream>>>(
      words, num_words, reinterpret_cast<unsigned long long*>(count));
  return cudaGetLastError();
}

cudaError_t LaunchCountDifferences(const uint32_t* a, const uint32_t* b, int64_t num_words,
                                   int64_t* different, cudaStream_t stream) {
  const cudaError_t cleared = cudaMemsetAsync(different, 0, sizeof(*different), stream);
  if (cleared != cudaSuccess || num_words == 0) return cleared;
  CountDifferencesKernel<<<Grid(num_words), kThreads, 0, stream>>>(
      a, b, num_words, reinterpret_cast<unsigned long long*>(different));
  return cudaGetLastError();
}

cudaError_t LaunchFillRandom(Bf16* out, int64_t count, uint64_t seed, cudaStream_t stream) {
  if (count == 0) return cudaSuccess;
  FillRandomKernel<<<Grid(count), kThreads, 0, stream>>>(out, count, seed);
  return cudaGetLastError();
}

}  // namespace sparsed::kernels::cuda
