// How much work denoising steps are, in units that hold on any machine. Pure.
// Next: server/step_costs.h
#pragma once

#include <cstdint>

#include "engine/engine.h"
#include "engine/request.h"
#include "engine/sequence.h"

namespace sparsed::server {

// One step, of one sequence or, added up, of a batch.
struct StepWork {
  double rows = 0;   // packed rows: products with the weights
  double pairs = 0;  // query-key pairs that attention looks at, all passes

  StepWork& operator+=(const StepWork& other);
};

// A whole request, known before it starts.
struct RequestWork {
  // As planned: a confidence threshold or a switch may save some, a floor of the recall may add
  // full ones.
  int32_t full_steps = 0;  // with full attention, those that select included
  int32_t sparse_steps = 0;
  // It does not end before: the first decoding block's steps where its text may end early; a block
  // takes one at least where there is a confidence threshold.
  int32_t least_steps = 0;
  int32_t least_full_steps = 0;  // of these, with full attention
  StepWork full;                 // each
  StepWork sparse;               // each, as the select ratio says
  StepWork least_sparse;         // each, at the least: a pattern may keep less than its ratio
};

// batch_tokens: as Engine::Estimate says. may_end_early: by an end token or a stop string.
RequestWork WorkOf(const engine::Request& request, const engine::ModelInfo& model,
                   int64_t batch_tokens, bool may_end_early);

// The next step of a running sequence. batch_tokens: as Engine::Estimate says.
StepWork NextStepWork(const engine::Sequence& sequence, int64_t batch_tokens);

}  // namespace sparsed::server
