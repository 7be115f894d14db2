// PTX of compute capability 9.0: barriers in shared memory, bulk tensor copies, register
// reallocation. Device code only.
#pragma once

#include <cuda.h>  // CUtensorMap only; libcuda is not linked

#include <cstdint>

#include "kernels/cuda/mma_sm80.cuh"

namespace sparsed::kernels::cuda {

__device__ inline void BarrierInit(uint32_t barrier, uint32_t arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;\n" ::"r"(barrier), "r"(arrivals));
}
// Makes initialised barriers visible to the copy engine; then a __syncthreads for the threads.
__device__ inline void FenceBarrierInit() {
  asm volatile("fence.mbarrier_init.release.cluster;\n" ::: "memory");
}
__device__ inline void BarrierArrive(uint32_t barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];\n" ::"r"(barrier) : "memory");
}
// One arrival; the phase also waits for `bytes` of bulk copies.
__device__ inline void BarrierArriveExpect(uint32_t barrier, uint32_t bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;\n" ::"r"(barrier), "r"(bytes)
               : "memory");
}
// Waits until the phase of this parity has completed. A new barrier has completed parity 1.
__device__ inline void BarrierWait(uint32_t barrier, uint32_t parity) {
#ifdef SPARSED_TRAP_ON_HANG
  const long long start = clock64();
#endif
  uint32_t done = 0;
  while (done == 0) {
    asm volatile(
        "{\n.reg .pred p;\n"
        "mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n"
        "selp.u32 %0, 1, 0, p;\n}\n"
        : "=r"(done)
        : "r"(barrier), "r"(parity)
        : "memory");
#ifdef SPARSED_TRAP_ON_HANG
    if (clock64() - start > 4000000000LL) __trap();
#endif
  }
}

// A box of a two-dimensional tensor to shared memory: column and row of its corner.
__device__ inline void BulkLoad2d(uint32_t shared, const CUtensorMap* map, int32_t column,
                                  int32_t row, uint32_t barrier) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, "
      "%3}], [%4];\n" ::"r"(shared),
      "l"(map), "r"(column), "r"(row), "r"(barrier)
      : "memory");
}
// The same the other way. The shared memory was written by FenceBulkStore's callers.
__device__ inline void BulkStore2d(const CUtensorMap* map, int32_t column, int32_t row,
                                   uint32_t shared) {
  asm volatile(
      "cp.async.bulk.tensor.2d.global.shared::cta.bulk_group [%0, {%1, %2}], [%3];\n" ::"l"(map),
      "r"(column), "r"(row), "r"(shared)
      : "memory");
}
// Makes the calling thread's writes to shared memory visible to bulk stores issued after a barrier.
__device__ inline void FenceBulkStore() {
  asm volatile("fence.proxy.async.shared::cta;\n" ::: "memory");
}
__device__ inline void BulkCommit() { asm volatile("cp.async.bulk.commit_group;\n" ::: "memory"); }
// Waits until the calling thread's committed bulk stores have read their shared memory.
__device__ inline void BulkWaitRead() {
  asm volatile("cp.async.bulk.wait_group.read 0;\n" ::: "memory");
}
__device__ inline void PrefetchMap(const CUtensorMap* map) {
  asm volatile("prefetch.tensormap [%0];\n" ::"l"(map) : "memory");
}

// Four 8x8 matrices of 16-bit elements to shared memory; lanes 8i..8i+7 give the row addresses of
// matrix i. Lane l holds elements 2 (l % 4) and the next of row l / 4.
__device__ inline void StoreMatrix4(uint32_t shared, uint32_t m0, uint32_t m1, uint32_t m2,
                                    uint32_t m3) {
  asm volatile(
      "stmatrix.sync.aligned.m8n8.x4.shared::cta.b16 [%0], {%1, %2, %3, %4};\n" ::"r"(shared),
      "r"(m0), "r"(m1), "r"(m2), "r"(m3)
      : "memory");
}

// Named barrier of `threads` threads: wait, or only arrive.
template <int kThreads>
__device__ inline void NamedSync(int id) {
  asm volatile("bar.sync %0, %1;\n" ::"r"(id), "n"(kThreads) : "memory");
}
template <int kThreads>
__device__ inline void NamedArrive(int id) {
  asm volatile("bar.arrive %0, %1;\n" ::"r"(id), "n"(kThreads) : "memory");
}

template <int kRegisters>
__device__ inline void ShrinkRegisters() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;\n" ::"n"(kRegisters));
}
template <int kRegisters>
__device__ inline void GrowRegisters() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;\n" ::"n"(kRegisters));
}

}  // namespace sparsed::kernels::cuda
