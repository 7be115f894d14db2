#include "engine/sampler.h"

#include <algorithm>

namespace sparsed::engine {

namespace {

kernels::ConfidenceRule RuleOf(Remasking remasking) {
  switch (remasking) {
    case Remasking::kLowConfidence:
      return kernels::ConfidenceRule::kProbability;
    case Remasking::kRandom:
      return kernels::ConfidenceRule::kRandom;
    case Remasking::kOrigin:
    case Remasking::kMaskgitPlus:
      return kernels::ConfidenceRule::kSampledProbability;
    case Remasking::kTopkMargin:
      return kernels::ConfidenceRule::kMargin;
    case Remasking::kEntropy:
      return kernels::ConfidenceRule::kNegativeEntropy;
  }
  return kernels::ConfidenceRule::kProbability;
}

}  // namespace

kernels::SampleRow SampleRowFor(const Sequence& sequence, const ModelInfo& model,
                                int32_t canvas_index) {
  const SamplingParams& sampling = sequence.request.sampling;
  kernels::SampleRow row;
  row.cfg_scale = sampling.cfg_scale;
  row.temperature = sampling.temperature;
  row.top_p = sampling.top_p;
  row.top_k = sampling.top_k;
  row.rule = RuleOf(sampling.remasking);
  row.seed = sampling.seed;
  row.step = static_cast<uint32_t>(sequence.next_step);
  row.position = static_cast<uint32_t>(sequence.request.canvas[canvas_index]);
  if (!sequence.request.target_ids.empty()) {
    row.target_token = sequence.request.target_ids[canvas_index];
  }
  const std::vector<int32_t>& ends = model.end_token_ids;
  if (sampling.logits_eos_inf) row.forbidden_token = ends.front();
  if (sampling.confidence_eos_eot_inf) {
    // The reference removes the end of the text only where the noise is none: there the logits and
    // the perturbed logits are one tensor.
    if (sampling.temperature == 0) row.unsure_tokens[0] = ends.front();
    if (ends.size() > 1) row.unsure_tokens[1] = ends[1];
  }
  return row;
}

kernels::CommitGroup CommitGroupFor(const Sequence& sequence, int32_t first, int32_t count,
                                    int32_t keep) {
  const SamplingParams& sampling = sequence.request.sampling;
  return {first,         count,
          keep,          sampling.algorithm_temperature,
          sampling.seed, static_cast<uint32_t>(sequence.next_step)};
}

bool ApplyCommit(Sequence& sequence, const Commit& commit, int32_t mask_token_id) {
  if (commit.token == mask_token_id) return false;
  sequence.ids[sequence.request.canvas[commit.canvas_index]] = commit.token;
  sequence.confidences[commit.canvas_index] = commit.confidence;
  sequence.commit_steps[commit.canvas_index] = sequence.next_step;
  ++sequence.committed;
  if (!sequence.log_probabilities.empty()) {
    sequence.log_probabilities[commit.canvas_index] = commit.log_probability;
  }
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
