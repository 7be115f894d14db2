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

template <typename Value>
__device__ Value BlockSum(Value value) {
  __shared__ Value partial[kWarps];
#pragma unroll
  for (int d = 16; d > 0; d /= 2) value += __shfl_xor_sync(0xffffffffu, value, d);
  __syncthreads();
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = value;
  __syncthreads();
  Value sum = 0;
  for (int w = 0; w < kWarps; ++w) sum += partial[w];
  return sum;
}

__device__ double Gumbel(const PhiloxBlock& bits, int half) {
  return -log(-log(OpenUniform(bits[2 * half], bits[2 * half + 1])));
}

// Pairs of neighbouring tokens share one block of random bits, as on the CPU.
__device__ Best<double> GumbelBest(const float* logits, int32_t vocab, float cut,
                                   const SampleArgs& row) {
  Best<double> best = {-DBL_MAX, vocab};
  for (int32_t pair = threadIdx.x; pair * 2 < vocab; pair += kThreads) {
    const PhiloxBlock bits = RandomBits(row.seed, row.step, row.position,
                                        static_cast<uint32_t>(pair), RandomStream::kGumbel);
    for (int half = 0; half < 2 && pair * 2 + half < vocab; ++half) {
      const float logit = logits[pair * 2 + half];
      if (logit < cut) continue;
      const double value =
          static_cast<double>(logit) + static_cast<double>(row.temperature) * Gumbel(bits, half);
      best = Better(best, {value, pair * 2 + half});
    }
  }
  return best;
}

// The largest logit, the lower token on ties; `skip` does not take part.
__device__ Best<float> LargestLogit(const float* logits, int32_t vocab, int32_t skip = -1) {
  Best<float> best = {-FLT_MAX, vocab};
  for (int32_t v = threadIdx.x; v < vocab; v += kThreads) {
    if (v != skip) best = Better(best, {logits[v], v});
  }
  return BlockBest(best);
}

// Integers in the order of floats.
__device__ uint32_t OrderedKey(float value) {
  const uint32_t bits = __float_as_uint(value);
  return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}
__device__ float KeyFloat(uint32_t key) {
  return __uint_as_float((key & 0x80000000u) != 0 ? key & 0x7fffffffu : ~key);
}

// The largest number c for which the sum of weight(l) over the logits l >= c is above `enough`;
// -infinity if there is none. Bit by bit, so that the sum of one pass does not depend on the
// others.
template <typename Weight>
__device__ float HighestCut(const float* logits, int32_t vocab, double enough, Weight weight) {
  uint32_t key = 0;
  for (uint32_t bit = 0x80000000u; bit != 0; bit >>= 1) {
    const uint32_t tried = key | bit;
    double sum = 0;
    for (int32_t v = threadIdx.x; v < vocab; v += kThreads) {
      if (OrderedKey(logits[v]) >= tried) sum += weight(logits[v]);
    }
    if (BlockSum(sum) > enough) key = tried;
  }
  return key == 0 ? -INFINITY : KeyFloat(key);
}

// The distribution a token is drawn from, before it is normalised; see ConfidenceRule.
struct Distribution {
  float max;
  float scale;
  float cut = -INFINITY;

  __device__ double Weight(float logit) const {
    return logit < cut ? 0.0 : static_cast<double>(expf((logit - max) * scale));
  }
  __device__ double Sum(const float* logits, int32_t vocab) const {
    double sum = 0;
    for (int32_t v = threadIdx.x; v < vocab; v += kThreads) sum += Weight(logits[v]);
    return BlockSum(sum);
  }
};

__device__ void Filter(const float* logits, int32_t vocab, const SampleArgs& row, Distribution& p) {
  float cut = -INFINITY;
  if (row.top_p < 1) {
    const double enough = static_cast<double>(row.top_p) * p.Sum(logits, vocab);
    cut = HighestCut(logits, vocab, enough, [&p](float logit) { return p.Weight(logit); });
  }
  if (row.top_k > 0 && row.top_k < vocab) {
    const float kth = HighestCut(logits, vocab, row.top_k - 0.5, [](float) { return 1.0; });
    cut = fmaxf(cut, kth);
  }
  p.cut = cut;
}

// Of the rules that look at the distribution.
__device__ float RuleConfidence(const float* logits, int32_t vocab, const SampleArgs& row,
                                const Distribution& p, int32_t token, int32_t greedy) {
  const double sum = p.Sum(logits, vocab);
  if (row.rule == ConfidenceRule::kMargin) {
    const Best<float> second = LargestLogit(logits, vocab, greedy);
    const double rest = second.index < vocab ? p.Weight(second.value) : 0;
    return static_cast<float>((p.Weight(logits[greedy]) - rest) / sum);
  }
  if (row.rule == ConfidenceRule::kNegativeEntropy) {
    double entropy = 0;
    for (int32_t v = threadIdx.x; v < vocab; v += kThreads) {
      const double share = p.Weight(logits[v]) / sum;
      if (share > 0) entropy += share * log(share + 1e-10);
    }
    return static_cast<float>(BlockSum(entropy));
  }
  return static_cast<float>(p.Weight(logits[token]) / sum);
}

__device__ float SumExp(const float* logits, int32_t vocab, float max) {
  float sum = 0;
  for (int32_t v = threadIdx.x; v < vocab; v += kThreads) sum += expf(logits[v] - max);
  return BlockSum(sum);
}

// Softmax of the logits as they stand.
__device__ float Probability(const float* logits, int32_t vocab, float max, int32_t token) {
  return expf(logits[token] - max) / SumExp(logits, vocab, max);
}

__device__ float LogProbability(const float* logits, int32_t vocab, int32_t token) {
  const float max = LargestLogit(logits, vocab).value;
  return logits[token] - max - logf(SumExp(logits, vocab, max));
}

__device__ void Guide(float* logits, const float* uncond, float cfg_scale, int32_t vocab) {
  for (int32_t v = threadIdx.x; v < vocab; v += kThreads) {
    logits[v] = uncond[v] + (cfg_scale + 1.0f) * (logits[v] - uncond[v]);
  }
  __syncthreads();
}

// Between two barriers, since all threads read the row before and after.
__device__ void Suppress(float* logits, int32_t first, int32_t second) {
  __syncthreads();
  if (threadIdx.x == 0) {
    if (first >= 0) logits[first] = -INFINITY;
    if (second >= 0) logits[second] = -INFINITY;
  }
  __syncthreads();
}

__device__ bool HasNan(const float* logits, int32_t vocab) {
  int has_nan = 0;
  for (int32_t v = threadIdx.x; v < vocab; v += kThreads) has_nan |= isnan(logits[v]) ? 1 : 0;
  return __syncthreads_or(has_nan) != 0;
}

__global__ void __launch_bounds__(kThreads) SampleKernel(const __grid_constant__ SampleLaunch a) {
  const SampleArgs& row = a.rows[blockIdx.x];
  const int32_t vocab = a.vocab;
  float* logits = a.logits + row.row * a.stride;
  if (row.uncond_row >= 0) {
    Guide(logits, a.logits + row.uncond_row * a.stride, row.cfg_scale, vocab);
  }
  if (row.target_token >= 0) {
    const float log_probability = LogProbability(logits, vocab, row.target_token);
    if (threadIdx.x == 0) a.log_probabilities[blockIdx.x] = log_probability;
  }
  if (row.forbidden_token >= 0) Suppress(logits, row.forbidden_token, -1);
  const bool has_nan = HasNan(logits, vocab);
  Best<float> greedy = LargestLogit(logits, vocab);
  Distribution p = {greedy.value, row.temperature > 0 ? 1.0f / row.temperature : 1.0f};
  Filter(logits, vocab, row, p);
  int32_t token = greedy.index;
  if (row.temperature > 0) token = BlockBest(GumbelBest(logits, vocab, p.cut, row)).index;
  token = token < vocab ? token : 0;
  if (row.target_token >= 0) token = row.target_token;
  if (row.unsure_tokens[0] >= 0 || row.unsure_tokens[1] >= 0) {
    Suppress(logits, row.unsure_tokens[0], row.unsure_tokens[1]);
    greedy = LargestLogit(logits, vocab);
  }
  float confidence = 0;
  if (row.rule == ConfidenceRule::kRandom) {
    const PhiloxBlock bits =
        RandomBits(row.seed, row.step, row.position, 0, RandomStream::kConfidence);
    confidence = Uniform24(bits[0]);
  } else if (row.rule == ConfidenceRule::kProbability) {
    confidence = Probability(logits, vocab, greedy.value, token);
  } else {
    confidence =
        RuleConfidence(logits, vocab, row, p, token, greedy.index < vocab ? greedy.index : 0);
  }
  if (threadIdx.x != 0) return;
  a.tokens[blockIdx.x] = token;
  a.confidences[blockIdx.x] = has_nan ? nanf("") : confidence;
}

// What orders the rows of a group, as on the CPU.
__device__ double Rank(float confidence, const CommitArgs& group, int32_t place) {
  if (isnan(confidence)) return -INFINITY;
  if (!(group.temperature > 0)) return confidence;
  const PhiloxBlock bits =
      RandomBits(group.seed, group.step, static_cast<uint32_t>(place), 0, RandomStream::kOrder);
  return static_cast<double>(confidence) / group.temperature + Gumbel(bits, 0);
}

// One block a group: `keep` rounds of an arg max over what is left. A chosen row is marked by its
// round, so that nothing is written to the confidences.
__global__ void __launch_bounds__(kThreads) CommitKernel(const __grid_constant__ CommitLaunch a) {
  const CommitArgs& group = a.groups[blockIdx.x];
  Best<double> last = {INFINITY, -1};
  for (int32_t round = 0; round < group.keep; ++round) {
    // The best of those that come after `last` in the order (value down, index up).
    Best<double> best = {-INFINITY, INT32_MAX};
    for (int32_t i = threadIdx.x; i < group.count; i += kThreads) {
      const double value = Rank(a.confidences[group.first + i], group, i);
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
