// Sampling a token a row, and choosing the rows a step commits.
#include <cfloat>

#include "kernels/cuda/launch.h"
#include "kernels/rng.h"

namespace sparsed::kernels::cuda {
namespace {

constexpr int kThreads = 512;
constexpr int kWarps = kThreads / 32;

// A candidate of an arg max: the larger value wins, on ties the lower index.
template <typename Value>
struct Best {
  Value value;
  int32_t index;
};
template <typename Value>
__device__ Best<Value> Better(Best<Value> a, Best<Value> b) {
  return b.value > a.value || (b.value == a.value && b.index < a.index) ? b : a;
}

template <typename Value>
__device__ Best<Value> BlockBest(Best<Value> best) {
  __shared__ Best<Value> partial[kWarps];
#pragma unroll
  for (int d = 16; d > 0; d /= 2) {
    const Best<Value> other = {__shfl_xor_sync(0xffffffffu, best.value, d),
                               __shfl_xor_sync(0xffffffffu, best.index, d)};
    best = Better(best, other);
  }
  __syncthreads();
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = best;
  __syncthreads();
  best = partial[0];
  for (int w = 1; w < kWarps; ++w) best = Better(best, partial[w]);
  return best;
}

__device__ float BlockSum(float value) {
  __shared__ float partial[kWarps];
#pragma unroll
  for (int d = 16; d > 0; d /= 2) value += __shfl_xor_sync(0xffffffffu, value, d);
  __syncthreads();
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = value;
  __syncthreads();
  float sum = 0;
  for (int w = 0; w < kWarps; ++w) sum += partial[w];
  return sum;
}

// Pairs of neighbouring tokens share one block of random bits, as on the CPU.
__device__ Best<double> GumbelBest(const float* logits, int32_t vocab, const SampleArgs& row) {
  Best<double> best = {-DBL_MAX, vocab};
  for (int32_t pair = threadIdx.x; pair * 2 < vocab; pair += kThreads) {
    const PhiloxBlock bits = RandomBits(row.seed, row.step, row.position,
                                        static_cast<uint32_t>(pair), RandomStream::kGumbel);
    for (int half = 0; half < 2 && pair * 2 + half < vocab; ++half) {
      const double u = OpenUniform(bits[2 * half], bits[2 * half + 1]);
      const double value = static_cast<double>(logits[pair * 2 + half]) -
                           static_cast<double>(row.temperature) * log(-log(u));
      best = Better(best, {value, pair * 2 + half});
    }
  }
  return best;
}

__global__ void __launch_bounds__(kThreads) SampleKernel(const __grid_constant__ SampleLaunch a) {
  const SampleArgs& row = a.rows[blockIdx.x];
  float* logits = a.logits + row.row * a.stride;
  if (row.uncond_row >= 0) {
    const float* uncond = a.logits + row.uncond_row * a.stride;
    for (int32_t v = threadIdx.x; v < a.vocab; v += kThreads) {
      logits[v] = uncond[v] + (row.cfg_scale + 1.0f) * (logits[v] - uncond[v]);
    }
    __syncthreads();
  }
  Best<float> greedy = {-FLT_MAX, a.vocab};
  int has_nan = 0;
  for (int32_t v = threadIdx.x; v < a.vocab; v += kThreads) {
    has_nan |= isnan(logits[v]) ? 1 : 0;
    greedy = Better(greedy, {logits[v], v});
  }
  greedy = BlockBest(greedy);
  has_nan = __syncthreads_or(has_nan);
  int32_t token = greedy.index;
  if (row.temperature > 0) token = BlockBest(GumbelBest(logits, a.vocab, row)).index;
  float sum = 0;
  for (int32_t v = threadIdx.x; v < a.vocab; v += kThreads) sum += expf(logits[v] - greedy.value);
  sum = BlockSum(sum);
  if (threadIdx.x != 0) return;
  token = token < a.vocab ? token : 0;
  float confidence = expf(logits[token] - greedy.value) / sum;
  if (row.random_confidence != 0) {
    const PhiloxBlock bits =
        RandomBits(row.seed, row.step, row.position, 0, RandomStream::kConfidence);
    confidence = static_cast<float>(bits[0] >> 8) * 0x1p-24f;
  }
  a.tokens[blockIdx.x] = token;
  a.confidences[blockIdx.x] = has_nan != 0 ? nanf("") : confidence;
}

// One block a group: `keep` rounds of an arg max over what is left. A chosen row is marked by its
// round, so that nothing is written to the confidences.
__global__ void __launch_bounds__(kThreads) CommitKernel(const __grid_constant__ CommitLaunch a) {
  const CommitArgs& group = a.groups[blockIdx.x];
  Best<float> last = {INFINITY, -1};
  for (int32_t round = 0; round < group.keep; ++round) {
    // The best of those that come after `last` in the order (value down, index up).
    Best<float> best = {-INFINITY, INT32_MAX};
    for (int32_t i = threadIdx.x; i < group.count; i += kThreads) {
      const float raw = a.confidences[group.first + i];
      const float value = isnan(raw) ? -INFINITY : raw;
      const bool after = value < last.value || (value == last.value && i > last.index);
      if (after) best = Better(best, {value, i});
    }
    last = BlockBest(best);
    if (threadIdx.x == 0) a.chosen[group.out + round] = group.first + last.index;
  }
}

}  // namespace

cudaError_t LaunchSample(const SampleLaunch& launch, cudaStream_t stream) {
  if (launch.num_rows == 0) return cudaSuccess;
  SampleKernel<<<static_cast<unsigned>(launch.num_rows), kThreads, 0, stream>>>(launch);
  return cudaGetLastError();
}

cudaError_t LaunchCommit(const CommitLaunch& launch, cudaStream_t stream) {
  if (launch.num_groups == 0) return cudaSuccess;
  CommitKernel<<<static_cast<unsigned>(launch.num_groups), kThreads, 0, stream>>>(launch);
  return cudaGetLastError();
}

}  // namespace sparsed::kernels::cuda
