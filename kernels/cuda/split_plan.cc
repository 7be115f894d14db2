#include "kernels/cuda/split_plan.h"

#include <algorithm>

#include "kernels/cuda/key_chunks.h"

namespace sparsed::kernels::cuda {

bool SplitsKeys(const AttentionSequence& sequence, int32_t num_heads, int64_t most_items) {
  if (!sequence.queries.has_value() || !sequence.queries->split) return false;
  const int64_t chunks = NumKeyChunks(static_cast<int32_t>(sequence.num_tokens));
  return chunks > 1 && chunks * num_heads <= most_items;
}

std::span<const AttentionSequence> SplitPlan::Next() {
  launch_.clear();
  int64_t items_left = most_items_;
  while (sequence_ < sequences_.size() && launch_.size() < most_sequences_) {
    const AttentionSequence& sequence = sequences_[sequence_];
    const int64_t tile_items =
        int64_t{NumKeyChunks(static_cast<int32_t>(sequence.num_tokens))} * num_heads_;
    const int64_t tokens_left = sequence.queries->num_tokens - done_tokens_;
    const int64_t tokens = std::min(tokens_left, items_left / tile_items * kQueryTileTokens);
    if (tokens == 0) break;
    AttentionSequence& part = launch_.emplace_back(sequence);
    part.queries->first_token += done_tokens_;
    part.queries->first_row += done_tokens_;
    part.queries->num_tokens = tokens;
    items_left -= (tokens + kQueryTileTokens - 1) / kQueryTileTokens * tile_items;
    done_tokens_ += tokens;
    if (tokens == tokens_left) {
      ++sequence_;
      done_tokens_ = 0;
    }
  }
  return launch_;
}

}  // namespace sparsed::kernels::cuda
