#include "kernels/cuda/ptx_sm90.cuh"
#include "kernels/cuda/wgmma_sm90.cuh"
#include "tests/unit/kernels/cuda_ptx_probes.h"

namespace sparsed::kernels::cuda {
namespace {

constexpr int kBoxBytes = 128 * 128;  // 128 rows of 64 bf16

__device__ uint8_t* Aligned(uint8_t* raw) {
  return raw + ((1024 - SharedAddress(raw) % 1024) % 1024);
}

// Thread 0 loads `boxes` boxes side by side; all wait for them.
__device__ void LoadAll(uint32_t shared, const CUtensorMap* map, int boxes, int rows,
                        uint32_t barrier, uint32_t parity) {
  if (threadIdx.x == 0) {
    const auto box_bytes = static_cast<uint32_t>(rows) * 128;
    BarrierArriveExpect(barrier, static_cast<uint32_t>(boxes) * box_bytes);
    for (int box = 0; box < boxes; ++box) {
      BulkLoad2d(shared + static_cast<uint32_t>(box) * box_bytes, map, box * 64, 0, barrier);
    }
  }
  BarrierWait(barrier, parity);
}

__device__ uint32_t InitBarrier(uint8_t* place, int arrivals) {
  const uint32_t barrier = SharedAddress(place);
  if (threadIdx.x == 0) {
    BarrierInit(barrier, static_cast<uint32_t>(arrivals));
    FenceBarrierInit();
  }
  __syncthreads();
  return barrier;
}

// The elements of a wgmma result, by row and column.
template <int kCount>
__device__ void StoreResult(const float (&d)[kCount], float* out) {
  const int columns = kCount * 2;
  const int row = static_cast<int>(threadIdx.x) / 32 * 16 + static_cast<int>(threadIdx.x) % 32 / 4;
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    const int column = i / 4 * 8 + static_cast<int>(threadIdx.x) % 4 * 2 + i % 2;
    out[(row + i / 2 % 2 * 8) * columns + column] = d[i];
  }
}

template <int kHeadDim>
__global__ void ScoresKernel(const __grid_constant__ CUtensorMap a,
                             const __grid_constant__ CUtensorMap b, float* out) {
  extern __shared__ uint8_t raw[];
  uint8_t* pointer = Aligned(raw);
  constexpr int kBoxes = kHeadDim / 64;
  const uint32_t keys = SharedAddress(pointer);
  const uint32_t query = keys + kBoxes * kBoxBytes;
  const uint32_t barrier = InitBarrier(pointer + 2 * kBoxes * kBoxBytes, 1);
  LoadAll(query, &a, kBoxes, 64, barrier, 0);
  LoadAll(keys, &b, kBoxes, 128, barrier, 1);
  float d[64];
  WgmmaFence();
#pragma unroll
  for (int step = 0; step < kHeadDim / 16; ++step) {
    const auto offset = static_cast<uint32_t>(step % 4 * 32);
    const auto box = static_cast<uint32_t>(step / 4);
    Wgmma128(d, WgmmaAdvance(WgmmaDescriptor(query, 16, 1024), box * kBoxBytes / 2 + offset),
             WgmmaAdvance(WgmmaDescriptor(keys, 16, 1024), box * kBoxBytes + offset), step != 0);
  }
  WgmmaCommit();
  WgmmaWait<0>();
  PinRegisters(d);
  StoreResult(d, out);
}

template <int kHeadDim>
__global__ void ValuesKernel(const uint32_t* a, const __grid_constant__ CUtensorMap b, float* out) {
  extern __shared__ uint8_t raw[];
  uint8_t* pointer = Aligned(raw);
  constexpr int kBoxes = kHeadDim / 64;
  const uint32_t values = SharedAddress(pointer);
  const uint32_t barrier = InitBarrier(pointer + kBoxes * kBoxBytes, 1);
  LoadAll(values, &b, kBoxes, 128, barrier, 0);
  // a has 64 pairs a row; a thread's registers of step i are those of rows r and r + 8, columns
  // 16 i and 16 i + 8 on.
  const int row = static_cast<int>(threadIdx.x) / 32 * 16 + static_cast<int>(threadIdx.x) % 32 / 4;
  uint32_t p[8][4];
#pragma unroll
  for (int step = 0; step < 8; ++step) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      p[step][i] =
          a[(row + i % 2 * 8) * 64 + step * 8 + i / 2 * 4 + static_cast<int>(threadIdx.x) % 4];
    }
  }
  float d[kHeadDim / 2] = {};
  WgmmaFence();
#pragma unroll
  for (int step = 0; step < 8; ++step) {
    const uint64_t tile =
        WgmmaAdvance(WgmmaDescriptor(values, kBoxBytes, 1024), static_cast<uint32_t>(step) * 2048);
    if constexpr (kHeadDim == 128) {
      Wgmma128(d, p[step], tile);
    } else {
      Wgmma64(d, p[step], tile);
    }
  }
  WgmmaCommit();
  WgmmaWait<0>();
  PinRegisters(d);
  StoreResult(d, out);
}

__global__ void BulkLoadKernel(const __grid_constant__ CUtensorMap map, int column, int row,
                               uint16_t* out) {
  extern __shared__ uint8_t raw[];
  uint8_t* pointer = Aligned(raw);
  const uint32_t barrier = InitBarrier(pointer + kBoxBytes, 1);
  if (threadIdx.x == 0) {
    PrefetchMap(&map);
    BarrierArriveExpect(barrier, kBoxBytes);
    BulkLoad2d(SharedAddress(pointer), &map, column, row, barrier);
  }
  BarrierWait(barrier, 0);
  for (int i = threadIdx.x; i < kBoxBytes / 2; i += blockDim.x) {
    out[i] = reinterpret_cast<const uint16_t*>(pointer)[i];
  }
}

__global__ void BulkStoreKernel(const __grid_constant__ CUtensorMap map, const uint32_t* tile,
                                int column, int row) {
  extern __shared__ uint8_t raw[];
  const uint32_t shared = SharedAddress(Aligned(raw));
  const int lane = static_cast<int>(threadIdx.x);
  const auto pair = [&](int r, int c) { return tile[(r + lane / 4) * 32 + c / 2 + lane % 4]; };
  for (int c = 0; c < 64; c += 16) {
    const int own_row = lane % 16;
    const int chunk = (c / 8 + lane / 16) ^ (own_row % 8);
    StoreMatrix4(shared + static_cast<uint32_t>(own_row * 128 + chunk * 16), pair(0, c), pair(8, c),
                 pair(0, c + 8), pair(8, c + 8));
  }
  FenceBulkStore();
  __syncwarp();
  if (lane == 0) {
    BulkStore2d(&map, column, row, shared);
    BulkCommit();
    BulkWaitRead();
  }
}

// The counter lies in shared memory, with named barriers in global memory: racecheck does not take
// their arrivals for an order.
__global__ void BarriersKernel(bool named, int rounds, int* seen) {
  __shared__ uint64_t barriers[2];
  __shared__ int shared_counter;
  volatile int& counter = named ? seen[2 * rounds] : shared_counter;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const uint32_t own = SharedAddress(&barriers[warp]);
  const uint32_t other = SharedAddress(&barriers[warp ^ 1]);
  if (threadIdx.x == 0) {
    BarrierInit(own, 32);
    BarrierInit(other, 32);
    FenceBarrierInit();
    counter = 0;
  }
  __syncthreads();
  for (int round = 0; round < rounds; ++round) {
    // Warp 0 begins: it finds its barrier as new, completed in parity 1.
    const int turn = 2 * round + warp;
    if (named) {
      if (turn > 0) NamedSync<64>(1 + warp);
    } else {
      BarrierWait(own, static_cast<uint32_t>(warp == 0 ? (round & 1) ^ 1 : round & 1));
    }
    if (threadIdx.x % 32 == 0) {
      seen[warp * rounds + round] = counter;
      counter = turn + 1;
    }
    __syncwarp();
    if (!named) BarrierArrive(other);
    if (named && turn + 1 < 2 * rounds) NamedArrive<64>(1 + (warp ^ 1));
  }
}

__global__ void __launch_bounds__(384, 1) RegistersKernel(int* out) {
  if (threadIdx.x < 128) {
    ShrinkRegisters<56>();
  } else {
    GrowRegisters<224>();
  }
  const int thread = static_cast<int>(threadIdx.x);
  int sum = 0;
  if (thread < 128) {
#pragma unroll 1
    for (int i = 0; i < 160; ++i) sum += (thread + i) % 7;
  } else {
    int v[160];
#pragma unroll
    for (int i = 0; i < 160; ++i) {
      v[i] = (thread + i) % 7;
      asm volatile("" : "+r"(v[i]));
    }
#pragma unroll
    for (int i = 0; i < 160; ++i) sum += v[i];
  }
  out[thread] = sum;
}

// Device memory with a copy of the host's; copied back by Read.
class Memory {
 public:
  Memory(const void* host, size_t bytes) : bytes_(bytes) {
    error = cudaMalloc(&data, bytes);
    if (error == cudaSuccess && host != nullptr) {
      error = cudaMemcpy(data, host, bytes, cudaMemcpyHostToDevice);
    }
  }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  ~Memory() { cudaFree(data); }

  // The first error of the allocation, of what ran since, and of the copy.
  cudaError_t Read(void* host) {
    if (error == cudaSuccess) error = cudaGetLastError();
    if (error == cudaSuccess) error = cudaDeviceSynchronize();
    return error != cudaSuccess ? error : cudaMemcpy(host, data, bytes_, cudaMemcpyDeviceToHost);
  }

  void* data = nullptr;
  cudaError_t error = cudaSuccess;

 private:
  size_t bytes_;
};

// A bf16 matrix with boxes of 64 columns, 128-byte swizzle.
cudaError_t Encode(void* data, int rows, int cols, int box_rows, CUtensorMap* map) {
  void* entry = nullptr;
  cudaDriverEntryPointQueryResult found;
  if (const cudaError_t error = cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &entry,
                                                                 12000, cudaEnableDefault, &found);
      error != cudaSuccess) {
    return error;
  }
  const cuuint64_t sizes[2] = {static_cast<cuuint64_t>(cols), static_cast<cuuint64_t>(rows)};
  const cuuint64_t strides[1] = {static_cast<cuuint64_t>(cols) * 2};
  const cuuint32_t box[2] = {64, static_cast<cuuint32_t>(box_rows)};
  const cuuint32_t steps[2] = {1, 1};
  const CUresult result = reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(entry)(
      map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2, data, sizes, strides, box, steps,
      CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_NONE,
      CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  return result == CUDA_SUCCESS ? cudaSuccess : cudaErrorInvalidValue;
}

template <typename Kernel, typename... Args>
void Run(Kernel kernel, int threads, Args... args) {
  constexpr int kBytes = 5 * kBoxBytes;
  cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes);
  kernel<<<1, static_cast<unsigned>(threads), kBytes>>>(args...);
}

}  // namespace

cudaError_t ProbeScores(int head_dim, const uint16_t* a, const uint16_t* b, float* out) {
  const auto width = static_cast<size_t>(head_dim) * 2;
  Memory query(a, 64 * width), keys(b, 128 * width), scores(nullptr, 64 * 128 * 4);
  CUtensorMap query_map, keys_map;
  cudaError_t error = Encode(query.data, 64, head_dim, 64, &query_map);
  if (error == cudaSuccess) error = Encode(keys.data, 128, head_dim, 128, &keys_map);
  if (error != cudaSuccess) return error;
  Run(head_dim == 128 ? ScoresKernel<128> : ScoresKernel<64>, 128, query_map, keys_map,
      static_cast<float*>(scores.data));
  return scores.Read(out);
}

cudaError_t ProbeValues(int head_dim, const uint16_t* a, const uint16_t* b, float* out) {
  const auto width = static_cast<size_t>(head_dim);
  Memory weights(a, 64 * 128 * 2), values(b, 128 * width * 2), sums(nullptr, 64 * width * 4);
  CUtensorMap map;
  if (const cudaError_t error = Encode(values.data, 128, head_dim, 128, &map);
      error != cudaSuccess) {
    return error;
  }
  Run(head_dim == 128 ? ValuesKernel<128> : ValuesKernel<64>, 128,
      static_cast<const uint32_t*>(weights.data), map, static_cast<float*>(sums.data));
  return sums.Read(out);
}

cudaError_t ProbeBulkLoad(const uint16_t* source, int rows, int cols, int column, int row,
                          uint16_t* out) {
  Memory from(source, static_cast<size_t>(rows) * static_cast<size_t>(cols) * 2);
  Memory to(nullptr, kBoxBytes);
  CUtensorMap map;
  if (const cudaError_t error = Encode(from.data, rows, cols, 128, &map); error != cudaSuccess) {
    return error;
  }
  Run(BulkLoadKernel, 128, map, column, row, static_cast<uint16_t*>(to.data));
  return to.Read(out);
}

cudaError_t ProbeBulkStore(const uint16_t* tile, int rows, int cols, int column, int row,
                           uint16_t* target) {
  Memory from(tile, 16 * 64 * 2);
  Memory to(target, static_cast<size_t>(rows) * static_cast<size_t>(cols) * 2);
  CUtensorMap map;
  if (const cudaError_t error = Encode(to.data, rows, cols, 16, &map); error != cudaSuccess) {
    return error;
  }
  Run(BulkStoreKernel, 32, map, static_cast<const uint32_t*>(from.data), column, row);
  return to.Read(target);
}

cudaError_t ProbeBarriers(bool named, int rounds, int* seen) {
  Memory out(seen, (static_cast<size_t>(rounds) * 2 + 1) * sizeof(int));
  Run(BarriersKernel, 64, named, rounds, static_cast<int*>(out.data));
  return out.Read(seen);
}

cudaError_t ProbeRegisters(int* out) {
  Memory sums(nullptr, 384 * sizeof(int));
  Run(RegistersKernel, 384, static_cast<int*>(sums.data));
  return sums.Read(out);
}

}  // namespace sparsed::kernels::cuda
