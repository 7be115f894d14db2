// Which kind of attention each denoising step of a request uses (arXiv 2509.24014).
// Next: engine/models/transformer.h
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "engine/request.h"
#include "kernels/backend.h"

namespace sparsed::engine {

enum class StepKind : uint8_t { kFull, kSelect, kSparse };

// A request's sparse options with every default filled in.
struct SparsePlan {
  bool used = false;        // false: every step is full attention
  int32_t select_step = 0;  // steps 0..select_step are full; there the pattern is built as well
  int32_t block_size = 0;   // B
  double skip = 0;
  double select = 0;       // rho
  int32_t num_blocks = 0;  // n = ceil(N / B)
  int32_t first_canvas_block =
      0;                    // min(ceil(P / B), n - 1), P: tokens before the first canvas position
  bool isolated = true;     // the canvas side is ranked apart
  int32_t keep_prompt = 0;  // min(int(n rho) + 1, n)
  // min(int(n2 rho) + 1, n2), n2 = n - first_canvas_block; 0 where not isolated
  int32_t keep_canvas = 0;
  HeadBudgets budgets = HeadBudgets::kUniform;  // kByMass: both are means over layers and heads
  float scale = 0;                              // of the scores in the selection softmax
  // Steps that select anew: those listed, ascending; and each refresh_every steps after
  // select_step, below refresh_end (refresh_every 0: none).
  std::vector<int32_t> refresh_steps;
  int32_t refresh_every = 0;
  int32_t refresh_end = 0;
  int32_t recall_every = 0;  // sparse steps between estimates of the recall; 0: none
  // Steps 0..select_step all select, and the first sparse step may come before: see Sequence.
  std::optional<double> switch_overlap;
  // The switch comes also once more than the share `skip` of the canvas is committed: with a
  // confidence threshold, where steps up to select_step may never be reached.
  bool switch_by_commits = false;
};

// Pure. The step that selects first, of `steps` with the share `skip` in full attention.
int32_t SelectStep(int32_t steps, double skip);

// Pure. AUTO is full below 1,024 tokens; a request too short for one sparse step is full as well.
SparsePlan PlanSparse(const Request& request, const ModelInfo& model);

// The plan's rule as a backend takes it.
kernels::BlockSelection SelectionOf(const SparsePlan& plan);

// Pure. step is 0-based. Where no switch has come yet.
StepKind KindOfStep(const SparsePlan& plan, int32_t step);

// Pure. How many of the first `steps` steps use full attention, those that select included; at most
// where a switch may come. Least: at least, too.
int32_t CountFullSteps(const SparsePlan& plan, int32_t steps);
int32_t LeastFullSteps(const SparsePlan& plan, int32_t steps);

}  // namespace sparsed::engine
