#include "engine/sampler.h"

#include <algorithm>

namespace sparsed::engine {

int32_t TransferCount(int32_t masked, int32_t steps, int32_t step) {
  return masked / steps + (step < masked % steps ? 1 : 0);
}

DecodingStep PlanDecodingStep(const SamplingParams& sampling, int32_t gen_length, int32_t step) {
  const int32_t blocks = gen_length / sampling.block_length;
  const int32_t steps_per_block = sampling.steps / blocks;
  const int32_t block = step / steps_per_block;
  const int32_t step_of_block = step % steps_per_block;
  // No position of a block is touched before the block's turn, so all of it is masked at its start.
  return {(block + 1) * sampling.block_length,
          TransferCount(sampling.block_length, steps_per_block, step_of_block),
          step_of_block == steps_per_block - 1};
}

kernels::SampleRow SampleRowFor(const Sequence& sequence, int32_t canvas_index) {
  const SamplingParams& sampling = sequence.request.sampling;
  kernels::SampleRow row;
  row.cfg_scale = sampling.cfg_scale;
  row.temperature = sampling.temperature;
  row.rule = sampling.remasking == Remasking::kRandom ? kernels::ConfidenceRule::kRandom
                                                      : kernels::ConfidenceRule::kProbability;
  row.seed = sampling.seed;
  row.step = static_cast<uint32_t>(sequence.next_step);
  row.position = static_cast<uint32_t>(sequence.request.canvas[canvas_index]);
  return row;
}

bool ApplyCommit(Sequence& sequence, const Commit& commit, int32_t mask_token_id) {
  if (commit.token == mask_token_id) return false;
  sequence.ids[sequence.request.canvas[commit.canvas_index]] = commit.token;
  sequence.confidences[commit.canvas_index] = commit.confidence;
  sequence.commit_steps[commit.canvas_index] = sequence.next_step;
  return true;
}

bool TextEnded(const Sequence& sequence, const ModelInfo& model, int32_t block_end) {
  const std::vector<int32_t>& canvas = sequence.request.canvas;
  int32_t last_hole = sequence.gen_length() - 1;
  while (last_hole > 0 && canvas[last_hole - 1] == canvas[last_hole] - 1) --last_hole;
  for (int32_t i = 0; i < block_end; ++i) {
    const int32_t id = sequence.ids[canvas[i]];
    if (id == model.mask_token_id) return false;
    if (i >= last_hole && std::find(model.end_token_ids.begin(), model.end_token_ids.end(), id) !=
                              model.end_token_ids.end()) {
      return true;
    }
  }
  return false;
}

}  // namespace sparsed::engine
