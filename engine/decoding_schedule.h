// Which masked canvas positions compete in a denoising step, and how many of them it commits. Pure.
//
// LLaDA's rules go block by block: the positions up to the end of the decoding block compete, and
// each of the block's steps commits its share of the block. Dream's rules know no blocks: all
// masked positions compete, and the share committed follows times that go from 1 down to 0.001;
// with "origin" every position is committed or left with that probability. Source: ML-GSAI/LLaDA
// generate.py; DreamLM/Dream generation_utils.py. Departure: the random numbers are counter-based.
//
// With a confidence threshold (Fast-dLLM, arXiv 2505.22618) a step may commit more, and a block
// whose positions are all committed gives up the steps that it has left. Departure: a step commits
// at least as many as without a threshold, so that `steps` suffice.
#pragma once

#include <cstdint>

#include "engine/sequence.h"

namespace sparsed::engine {

struct DecodingStep {
  int32_t block_end = 0;  // masked canvas positions in [0, block_end) compete
  int32_t commits = 0;    // so many of them are committed, or all there are
  int32_t end = 0;        // the first step of the next decoding block, or T
};

// How many of a block's `masked` positions are committed in step `step` of `steps`: the quotient,
// one more in the first steps while the remainder lasts.
int32_t TransferCount(int32_t masked, int32_t steps, int32_t step);

// Dream's share of the masked positions that step `step` of `steps` commits, float32 as there; 1 in
// the last step.
float UnmaskShare(int32_t steps, int32_t step);

// Step `step` of the schedule, 0-based over the whole canvas, of which `masked` positions are
// masked.
DecodingStep PlanDecodingStep(const SamplingParams& sampling, int32_t gen_length, int32_t step,
                              int32_t masked);

// Canvas positions in the decoding blocks that end before step `step` of the schedule.
int32_t CanvasBefore(const SamplingParams& sampling, int32_t gen_length, int32_t step);

// Whether the masked canvas position takes part in the sequence's next step.
bool Competes(const Sequence& sequence, int32_t canvas_index);

}  // namespace sparsed::engine
