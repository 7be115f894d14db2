#include "engine/step_scheduler.h"

#include <algorithm>
#include <cmath>

namespace sparsed::engine {
namespace {

constexpr int32_t kAutoMinTokens = 1024;  // AUTO is full below
constexpr int32_t kShortTokens = 1024;    // up to here: small blocks, the larger select ratio
constexpr int32_t kMediumTokens = 4096;
constexpr double kRefreshUntil = 0.3;  // of the steps, where a request does not say
constexpr int32_t kRecallEvery = 4;    // sparse steps, where a request has a floor and does not say

int32_t DefaultBlockSize(int32_t num_tokens) {
  if (num_tokens <= kShortTokens) return 32;
  return num_tokens <= kMediumTokens ? 64 : 128;
}

double DefaultSelect(int32_t num_tokens) { return num_tokens <= kShortTokens ? 0.5 : 0.3; }

int32_t CeilDiv(int32_t a, int32_t b) { return (a + b - 1) / b; }

// How many of `blocks` blocks are kept. The product is floored as a double, as the published code
// does; the one more makes sure that something is kept.
int32_t Quota(int32_t blocks, double select) {
  return std::min(static_cast<int32_t>(blocks * select) + 1, blocks);
}

bool Wanted(SparseMode mode, int32_t num_tokens) {
  switch (mode) {
    case SparseMode::kOff:
      return false;
    case SparseMode::kSparseD:
      return true;
    case SparseMode::kAuto:
      return num_tokens >= kAutoMinTokens;
  }
  return false;
}

bool Refreshes(const SparsePlan& plan, int32_t step) {
  if (std::binary_search(plan.refresh_steps.begin(), plan.refresh_steps.end(), step)) return true;
  return plan.refresh_every > 0 && step < plan.refresh_end &&
         (step - plan.select_step) % plan.refresh_every == 0;
}

}  // namespace

int32_t SelectStep(int32_t steps, double skip) { return static_cast<int32_t>(steps * skip) + 1; }

SparsePlan PlanSparse(const Request& request, const ModelInfo& model) {
  const SparseParams& params = request.sparse;
  const int32_t num_tokens = static_cast<int32_t>(request.ids.size());
  SparsePlan plan;
  plan.skip = params.skip;
  plan.select = params.select.value_or(DefaultSelect(num_tokens));
  plan.block_size = params.block_size.value_or(DefaultBlockSize(num_tokens));
  plan.select_step = SelectStep(request.sampling.steps, params.skip);
  plan.num_blocks = CeilDiv(num_tokens, plan.block_size);
  plan.first_canvas_block =
      std::min(CeilDiv(request.canvas.front(), plan.block_size), plan.num_blocks - 1);
  plan.keep_prompt = Quota(plan.num_blocks, plan.select);
  plan.isolated = params.isolated;
  plan.budgets = params.budgets;
  if (plan.isolated) {
    plan.keep_canvas = Quota(plan.num_blocks - plan.first_canvas_block, plan.select);
  }
  plan.scale = static_cast<float>(
      1.0 / std::sqrt(params.scale == SelectionScale::kHeadDim ? model.head_dim : model.num_heads));
  plan.used = Wanted(params.mode, num_tokens) && plan.select_step < request.sampling.steps - 1;
  plan.refresh_steps = params.refresh_steps;
  std::sort(plan.refresh_steps.begin(), plan.refresh_steps.end());
  plan.refresh_steps.erase(std::unique(plan.refresh_steps.begin(), plan.refresh_steps.end()),
                           plan.refresh_steps.end());
  plan.refresh_every = params.refresh_every;
  plan.refresh_end =
      static_cast<int32_t>(request.sampling.steps * params.refresh_until.value_or(kRefreshUntil));
  plan.switch_overlap = params.switch_overlap;
  plan.switch_by_commits = request.sampling.confidence_threshold.has_value();
  plan.recall_every = params.recall_every;
  if (params.recall_floor && params.recall_every == 0) plan.recall_every = kRecallEvery;
  return plan;
}

kernels::BlockSelection SelectionOf(const SparsePlan& plan) {
  kernels::BlockSelection selection;
  selection.first_canvas_block = plan.isolated ? plan.first_canvas_block : plan.num_blocks;
  selection.keep_prompt = plan.keep_prompt;
  selection.keep_canvas = plan.keep_canvas;
  selection.scale = plan.scale;
  return selection;
}

StepKind KindOfStep(const SparsePlan& plan, int32_t step) {
  if (!plan.used) return StepKind::kFull;
  if (step < plan.select_step) return plan.switch_overlap ? StepKind::kSelect : StepKind::kFull;
  return step == plan.select_step || Refreshes(plan, step) ? StepKind::kSelect : StepKind::kSparse;
}

int32_t CountFullSteps(const SparsePlan& plan, int32_t steps) {
  if (!plan.used || steps <= plan.select_step) return steps;
  const auto listed = std::lower_bound(plan.refresh_steps.begin(), plan.refresh_steps.end(), steps);
  int32_t full = plan.select_step + 1 + static_cast<int32_t>(listed - plan.refresh_steps.begin());
  const int32_t last = std::min(steps, plan.refresh_end) - 1;
  if (plan.refresh_every > 0 && last > plan.select_step) {
    full += (last - plan.select_step) / plan.refresh_every;
  }
  return full;
}

int32_t LeastFullSteps(const SparsePlan& plan, int32_t steps) {
  const int32_t full = CountFullSteps(plan, steps);
  if (!plan.used || !(plan.switch_overlap || plan.switch_by_commits)) return full;
  // Two patterns are compared, or after the first step the next one selects; where all select, the
  // commits of the first may be enough. Refreshes come on top.
  const int32_t before_switch = plan.switch_overlap && plan.switch_by_commits ? 1 : 2;
  const int32_t before = std::min(steps, plan.select_step + 1);
  return full - std::max(0, before - before_switch);
}

}  // namespace sparsed::engine
