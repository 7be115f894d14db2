#include "engine/decoding_schedule.h"

#include "kernels/rng.h"

namespace sparsed::engine {
namespace {

// torch.linspace(1, eps, steps + 1) in float32: the second half counts from the end.
float Time(int32_t steps, int32_t i) {
  constexpr float kEpsilon = 1e-3f;
  const float width = (kEpsilon - 1.0f) / static_cast<float>(steps);
  return i < (steps + 1) / 2 ? 1.0f + width * static_cast<float>(i)
                             : kEpsilon - width * static_cast<float>(steps - i);
}

}  // namespace

int32_t TransferCount(int32_t masked, int32_t steps, int32_t step) {
  return masked / steps + (step < masked % steps ? 1 : 0);
}

float UnmaskShare(int32_t steps, int32_t step) {
  return step == steps - 1 ? 1.0f : 1.0f - Time(steps, step + 1) / Time(steps, step);
}

DecodingStep PlanDecodingStep(const SamplingParams& sampling, int32_t gen_length, int32_t step,
                              int32_t masked) {
  if (IsDreamRule(sampling.remasking)) {
    const int32_t commits =
        sampling.remasking == Remasking::kOrigin
            ? masked
            : static_cast<int32_t>(static_cast<float>(masked) * UnmaskShare(sampling.steps, step));
    return {gen_length, commits, sampling.steps};
  }
  const int32_t blocks = gen_length / sampling.block_length;
  const int32_t steps_per_block = sampling.steps / blocks;
  const int32_t block = step / steps_per_block;
  const int32_t step_of_block = step % steps_per_block;
  // No position of a block is touched before the block's turn, so all of it is masked at its start.
  return {(block + 1) * sampling.block_length,
          TransferCount(sampling.block_length, steps_per_block, step_of_block),
          (block + 1) * steps_per_block};
}

int32_t CanvasBefore(const SamplingParams& sampling, int32_t gen_length, int32_t step) {
  const int32_t steps_per_block = sampling.steps / (gen_length / sampling.block_length);
  return step / steps_per_block * sampling.block_length;
}

bool Competes(const Sequence& sequence, int32_t canvas_index) {
  const SamplingParams& sampling = sequence.request.sampling;
  if (sampling.remasking != Remasking::kOrigin) return true;
  const auto position = static_cast<uint32_t>(sequence.request.canvas[canvas_index]);
  const kernels::PhiloxBlock bits =
      kernels::RandomBits(sampling.seed, static_cast<uint32_t>(sequence.next_step), position, 0,
                          kernels::RandomStream::kUnmask);
  return kernels::Uniform24(bits[0]) < UnmaskShare(sampling.steps, sequence.next_step);
}

}  // namespace sparsed::engine
