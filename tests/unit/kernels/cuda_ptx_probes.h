// Small kernels around each PTX wrapper of kernels/cuda, for cuda_ptx_test.cc. Host pointers in and
// out; every function runs to its end and gives what went wrong, if anything did. bf16 as bits.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace sparsed::kernels::cuda {

// out [64, 128] = a [64, d] times b [128, d] transposed: both operands from shared memory, K-major.
cudaError_t ProbeScores(int head_dim, const uint16_t* a, const uint16_t* b, float* out);

// out [64, d] = a [64, 128] times b [128, d]: a from registers, b from shared memory, MN-major.
cudaError_t ProbeValues(int head_dim, const uint16_t* a, const uint16_t* b, float* out);

// The shared memory that a bulk load of the 64-column box at (column, row) of source [rows, cols]
// leaves: out [128, 64], in the order of the addresses.
cudaError_t ProbeBulkLoad(const uint16_t* source, int rows, int cols, int column, int row,
                          uint16_t* out);

// Writes tile [16, 64] by StoreMatrix4 and a bulk store at (column, row) of target [rows, cols],
// whose other elements stay.
cudaError_t ProbeBulkStore(const uint16_t* tile, int rows, int cols, int column, int row,
                           uint16_t* target);

// Two warps hand a counter to and fro `rounds` times through barriers in shared memory (`named`:
// through named ones) and note what they find: seen [2, rounds], and one place of their own.
cudaError_t ProbeBarriers(bool named, int rounds, int* seen);

// Three warpgroups, of which one gives up registers and two take them: out [384], thread t's sum of
// 160 values v[i] = (t + i) % 7, all live at once.
cudaError_t ProbeRegisters(int* out);

}  // namespace sparsed::kernels::cuda
