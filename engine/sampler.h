// LLaDA's sampler: which masked positions compete in a step, how many are committed, and which.
// Source: ML-GSAI/LLaDA generate.py. Departures: low confidence is float32, random numbers are
// counter-based, ties go to the lower canvas position.
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
};

// Where a step stands in the semi-autoregressive schedule of its canvas.
struct DecodingStep {
  int32_t block_end = 0;       // masked canvas positions in [0, block_end) compete
  int32_t commits = 0;         // so many are committed
  bool last_of_block = false;  // the decoding block ends with this step
};

// Pure. How many of a block's `masked` positions are committed in step `step` of `steps`: the
// quotient, one more in the first steps while the remainder lasts.
int32_t TransferCount(int32_t masked, int32_t steps, int32_t step);

// Pure. step is 0-based over the whole canvas.
DecodingStep PlanDecodingStep(const SamplingParams& sampling, int32_t gen_length, int32_t step);

// The random numbers and the rule for one canvas position in the sequence's next step. The rows of
// the logits are left to the caller.
kernels::SampleRow SampleRowFor(const Sequence& sequence, int32_t canvas_index);

// Writes one sampled token into the canvas. A position whose token is the mask token stays masked
// and competes again: returns false.
bool ApplyCommit(Sequence& sequence, const Commit& commit, int32_t mask_token_id);

// Whether the text has ended, so that nothing after canvas position `block_end` can change it: an
// end token stands before it with no mask before, in the hole that runs to the end of the canvas.
bool TextEnded(const Sequence& sequence, const ModelInfo& model, int32_t block_end);

}  // namespace sparsed::engine
