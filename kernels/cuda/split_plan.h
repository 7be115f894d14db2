// Which launches a call's split query ranges take: as many items in each as the scratch holds.
// Next: key_chunks.h (the items of a range)
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cuda/key_chunks.h"

namespace sparsed::kernels::cuda {

// Whether the keys of the sequence's queries are parted among items. num_heads and most_items, what
// a launch may have, are the same for all of a model's calls.
inline bool SplitsKeys(const AttentionSequence& sequence, int32_t num_heads, int64_t most_items) {
  if (!sequence.queries.has_value() || !sequence.queries->split) return false;
  const int64_t chunks = NumKeyChunks(static_cast<int32_t>(sequence.num_tokens));
  return chunks > 1 && chunks * num_heads <= most_items;
}

class SplitPlan {
 public:
  // Sequences that SplitsKeys holds for; they are borrowed.
  SplitPlan(std::span<const AttentionSequence> sequences, int32_t num_heads, int64_t most_items,
            size_t most_sequences)
      : sequences_(sequences),
        num_heads_(num_heads),
        most_items_(most_items),
        most_sequences_(most_sequences) {}

  // The sequences of the next launch, each with those of its query tiles that it takes; empty: no
  // launch is left. Good until the next call.
  std::span<const AttentionSequence> Next() {
    launch_.clear();
    int64_t items_left = most_items_;
    while (sequence_ < sequences_.size() && launch_.size() < most_sequences_) {
      const AttentionSequence& sequence = sequences_[sequence_];
      const int64_t tile_items =
          int64_t{NumKeyChunks(static_cast<int32_t>(sequence.num_tokens))} * num_heads_;
      const int64_t tokens_left = sequence.queries->num_tokens - done_tokens_;
      const int64_t tokens = std::min(tokens_left, items_left / tile_items * kQueryTileTokens);
      if (tokens == 0) break;
      QueryRange& part = *launch_.emplace_back(sequence).queries;
      part.first_token += done_tokens_;
      part.first_row += done_tokens_;
      part.num_tokens = tokens;
      items_left -= (tokens + kQueryTileTokens - 1) / kQueryTileTokens * tile_items;
      done_tokens_ += tokens;
      if (tokens == tokens_left) {
        ++sequence_;
        done_tokens_ = 0;
      }
    }
    return launch_;
  }

 private:
  const std::span<const AttentionSequence> sequences_;
  const int32_t num_heads_;
  const int64_t most_items_;
  const size_t most_sequences_;
  size_t sequence_ = 0;      // the first that is not done
  int64_t done_tokens_ = 0;  // of its queries
  std::vector<AttentionSequence> launch_;
};

}  // namespace sparsed::kernels::cuda
