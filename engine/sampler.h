// The samplers: how a canvas position's token is drawn and ranked, and what a commit changes.
// decoding_schedule.h says which positions compete.
// Source: ML-GSAI/LLaDA generate.py; DreamLM/Dream generation_utils.py. Departures: confidences are
// float32, random numbers are counter-based, ties go to the lower canvas position.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/sequence.h"
#include "kernels/backend.h"

namespace sparsed::engine {

// One token committed in a step.
struct Commit {
  int32_t canvas_index = 0;  // 0..G-1
  int32_t token = 0;
  float confidence = 0;
  float log_probability = 0;  // of a target
};

// The random numbers and the rule for one canvas position in the sequence's next step. The rows of
// the logits are left to the caller.
kernels::SampleRow SampleRowFor(const Sequence& sequence, const ModelInfo& model,
                                int32_t canvas_index);

// How the `count` samples from `first` on compete for `keep` commits in the sequence's next step.
kernels::CommitGroup CommitGroupFor(const Sequence& sequence, int32_t first, int32_t count,
                                    int32_t keep);

// Writes one sampled token into the canvas. A position whose token is the mask token stays masked
// and competes again: returns false.
bool ApplyCommit(Sequence& sequence, const Commit& commit, int32_t mask_token_id);

// Whether the text has ended, so that nothing after canvas position `block_end` can change it: an
// end token stands before it with no mask before, in the hole that runs to the end of the canvas.
bool TextEnded(const Sequence& sequence, const ModelInfo& model, int32_t block_end);

}  // namespace sparsed::engine
