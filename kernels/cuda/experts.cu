// What surrounds the products of a layer with experts: which rows go where, and what comes back.
#include "kernels/cuda/launch.h"
#include "kernels/cuda/pieces.cuh"

namespace sparsed::kernels::cuda {
namespace {

constexpr unsigned kAllLanes = 0xffffffffu;
constexpr int kThreads = 256;
constexpr int kRouteWarps = 4;      // of a block: a row each
constexpr int kSortThreads = 1024;  // of a block: an expert each
constexpr int kSortWarps = kSortThreads / 32;

__device__ float Infinity() { return __int_as_float(0x7f800000); }

// Whether a logit comes before another one: the larger, what is no number before all, ties by the
// lower expert.
__device__ bool Before(float a, int a_expert, float b, int b_expert) {
  return a > b || (a == b && a_expert < b_expert);
}

// The experts of one row a warp, ascending, and their shares. Lane l has the logits of experts
// l, l + 32, ...; the experts go to launch.slots until their slots are known.
template <int kLogits>
__global__ void RouteKernel(const RouteLaunch launch) {
  const int lane = threadIdx.x % 32;
  const int64_t row = int64_t{blockIdx.x} * kRouteWarps + threadIdx.x / 32;
  if (row >= launch.num_rows) return;
  const float* logits = launch.logits + row * launch.stride;
  float values[kLogits];
  float largest = -Infinity();
#pragma unroll
  for (int i = 0; i < kLogits; ++i) {
    const int expert = i * 32 + lane;
    values[i] = expert < launch.num_experts ? logits[expert] : -Infinity();
    largest = fmaxf(largest, values[i]);
  }
#pragma unroll
  for (int d = 16; d > 0; d /= 2) largest = fmaxf(largest, __shfl_xor_sync(kAllLanes, largest, d));
  float sum = 0;
#pragma unroll
  for (int i = 0; i < kLogits; ++i) {
    if (i * 32 + lane < launch.num_experts) sum += expf(values[i] - largest);
  }
#pragma unroll
  for (int d = 16; d > 0; d /= 2) sum += __shfl_xor_sync(kAllLanes, sum, d);

  uint32_t taken = 0;  // bit i: expert 32 i + lane
  for (int32_t k = 0; k < launch.per_row; ++k) {
    float best = -Infinity();
    int best_expert = kMaxExperts;
#pragma unroll
    for (int i = 0; i < kLogits; ++i) {
      const int expert = i * 32 + lane;
      const float rank = isnan(values[i]) ? Infinity() : values[i];
      const bool open = expert < launch.num_experts && (taken >> i & 1) == 0;
      if (open && Before(rank, expert, best, best_expert)) {
        best = rank;
        best_expert = expert;
      }
    }
#pragma unroll
    for (int d = 16; d > 0; d /= 2) {
      const float other = __shfl_xor_sync(kAllLanes, best, d);
      const int other_expert = __shfl_xor_sync(kAllLanes, best_expert, d);
      if (Before(other, other_expert, best, best_expert)) {
        best = other;
        best_expert = other_expert;
      }
    }
    if (best_expert % 32 == lane) taken |= 1u << (best_expert / 32);
  }

  int64_t place = row * launch.per_row;
#pragma unroll
  for (int i = 0; i < kLogits; ++i) {
    const bool mine = (taken >> i & 1) != 0;
    const uint32_t lanes = __ballot_sync(kAllLanes, mine);
    if (mine) {
      const int64_t at = place + __popc(lanes & ((1u << lane) - 1));
      launch.slots[at] = i * 32 + lane;
      launch.weights[at] = expf(values[i] - largest) / sum;
    }
    place += __popc(lanes);
  }
}

// A block finds the slots of one expert: launch.slots still has the expert of each place (row, k).
// Writes where they begin, and to launch.rows the place of each. A warp looks through a range of
// places of its own.
__global__ void __launch_bounds__(kSortThreads) SortKernel(const RouteLaunch launch) {
  __shared__ int32_t before[kSortWarps];  // places of lower experts in each warp's range
  __shared__ int32_t own[kSortWarps];     // of this one
  const auto expert = static_cast<int32_t>(blockIdx.x);
  const auto places = static_cast<int32_t>(launch.num_rows * launch.per_row);
  const int lane = threadIdx.x % 32;
  const int warp = threadIdx.x / 32;
  const int32_t share = (places + kSortThreads - 1) / kSortThreads * 32;
  const int32_t first = min(warp * share, places);
  const int32_t last = min(first + share, places);
  int32_t lower = 0;
  int32_t equal = 0;
  for (int32_t i = first + lane; i < last; i += 32) {
    const int32_t other = launch.slots[i];
    lower += other < expert;
    equal += other == expert;
  }
  lower = __reduce_add_sync(kAllLanes, lower);
  equal = __reduce_add_sync(kAllLanes, equal);
  if (lane == 0) {
    before[warp] = lower;
    own[warp] = equal;
  }
  __syncthreads();
  int32_t slot = 0;
  for (int w = 0; w < kSortWarps; ++w) slot += before[w];
  if (threadIdx.x == 0) {
    launch.first_slots[expert] = slot;
    if (expert == 0) launch.first_slots[launch.num_experts] = places;
  }
  for (int w = 0; w < warp; ++w) slot += own[w];
  for (int32_t from = first; from < last; from += 32) {
    const int32_t i = from + lane;
    const bool found = i < last && launch.slots[i] == expert;
    const uint32_t lanes = __ballot_sync(kAllLanes, found);
    if (found) launch.rows[slot + __popc(lanes & ((1u << lane) - 1))] = i;
    slot += __popc(lanes);
  }
}

// From the place of each slot to the slot of each place, and the row of each slot.
__global__ void InvertKernel(const RouteLaunch launch) {
  const int64_t slot = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (slot >= launch.num_rows * launch.per_row) return;
  const int32_t place = launch.rows[slot];
  launch.slots[place] = static_cast<int32_t>(slot);
  launch.rows[slot] = place / launch.per_row;
}

__global__ void SumExpertsKernel(Bf16* out, int64_t out_stride, const Bf16* x, int64_t x_stride,
                                 const int32_t* slots, const float* weights, int32_t per_row,
                                 int64_t cols) {
  const int64_t row = blockIdx.x;
  for (int64_t c = threadIdx.x * 8; c < cols; c += blockDim.x * 8) {
    float sum[8] = {};
    for (int64_t i = row * per_row; i < (row + 1) * per_row; ++i) {
      const Bf16x8 values = Load8(x + slots[i] * x_stride + c);
      const float weight = weights[i];
#pragma unroll
      for (int p = 0; p < 4; ++p) {
        const float2 f = __bfloat1622float2(values.pair[p]);
        sum[2 * p] += weight * f.x;
        sum[2 * p + 1] += weight * f.y;
      }
    }
    Bf16* target = out + row * out_stride + c;
    Bf16x8 total = Load8(target);
#pragma unroll
    for (int p = 0; p < 4; ++p) {
      const float2 f = __bfloat1622float2(total.pair[p]);
      total.pair[p] = __floats2bfloat162_rn(f.x + sum[2 * p], f.y + sum[2 * p + 1]);
    }
    Store8(target, total);
  }
}

unsigned Blocks(int64_t items, int64_t of_block) {
  return static_cast<unsigned>((items + of_block - 1) / of_block);
}

}  // namespace

cudaError_t LaunchRouteExperts(const RouteLaunch& launch, cudaStream_t stream) {
  if (launch.num_experts > kMaxExperts) return cudaErrorInvalidValue;
  const auto route = [&](auto kernel) {
    kernel<<<Blocks(launch.num_rows, kRouteWarps), kRouteWarps * 32, 0, stream>>>(launch);
  };
  if (launch.num_rows > 0) {
    if (launch.num_experts <= 64) {
      route(RouteKernel<2>);
    } else if (launch.num_experts <= 256) {
      route(RouteKernel<8>);
    } else {
      route(RouteKernel<kMaxExperts / 32>);
    }
  }
  SortKernel<<<static_cast<unsigned>(launch.num_experts), kSortThreads, 0, stream>>>(launch);
  if (launch.num_rows > 0) {
    InvertKernel<<<Blocks(launch.num_rows * launch.per_row, kThreads), kThreads, 0, stream>>>(
        launch);
  }
  return cudaGetLastError();
}

cudaError_t LaunchSumExperts(Bf16* out, int64_t out_stride, const Bf16* x, int64_t x_stride,
                             const int32_t* slots, const float* weights, int32_t per_row,
                             int64_t rows, int64_t cols, cudaStream_t stream) {
  if (rows == 0) return cudaSuccess;
  SumExpertsKernel<<<static_cast<unsigned>(rows), kThreads, 0, stream>>>(
      out, out_stride, x, x_stride, slots, weights, per_row, cols);
  return cudaGetLastError();
}

}  // namespace sparsed::kernels::cuda
