// Which launches a call's split query ranges take: as many items in each as the scratch holds.
// Next: key_chunks.h (the items of a range)
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/backend.h"

namespace sparsed::kernels::cuda {

// Whether the keys of the sequence's queries are parted among items. num_heads and most_items, what
// a launch may have, are the same for all of a model's calls.
bool SplitsKeys(const AttentionSequence& sequence, int32_t num_heads, int64_t most_items);

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
  std::span<const AttentionSequence> Next();

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
