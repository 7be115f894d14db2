// The kept attention blocks of one layer of one sequence, as a bitmask.
//
// Layout: [H, nQ, words] 64-bit words, words = ceil(nKV / 64); bit (j % 64) of word (j / 64) says
// whether key block j is kept for that head and query block. Bits at and above nKV are zero.
#pragma once

#include <cstdint>

namespace sparsed::kernels {

struct BlockMaskView {
  uint64_t* bits = nullptr;  // in the backend's memory; owned by the sequence's mask cache
  int32_t num_heads = 0;
  int32_t num_blocks = 0;  // nQ = nKV = ceil(N / block_size)
  int32_t block_size = 0;  // B: 32, 64 or 128 tokens

  int64_t WordsPerRow() const { return (num_blocks + 63) / 64; }
  int64_t Bytes() const { return WordsPerRow() * 8 * num_blocks * num_heads; }
  uint64_t* Row(int64_t head, int64_t query_block) const {
    return bits + (head * num_blocks + query_block) * WordsPerRow();
  }
};

}  // namespace sparsed::kernels
