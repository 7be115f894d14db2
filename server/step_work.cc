#include "server/step_work.h"

#include <algorithm>

namespace sparsed::server {
namespace {

double FullPairs(const engine::Request& request) {
  const auto tokens = static_cast<double>(request.ids.size());
  return (request.sampling.cfg_scale > 0 ? 2 : 1) * tokens * tokens;
}

}  // namespace

StepWork& StepWork::operator+=(const StepWork& other) {
  rows += other.rows;
  pairs += other.pairs;
  return *this;
}

RequestWork WorkOf(const engine::Request& request, const engine::ModelInfo& model,
                   int64_t batch_tokens, bool may_end_early) {
  // The columns of the canvas side are dropped from the prompt side's quota, so that a pattern may
  // fall below its ratio, but not to half of it. That is argued for uniform counts; budgets by mass
  // keep the total of the measured tile, and other rows may differ.
  constexpr double kLeastOfRatio = 0.5;
  const engine::SparsePlan plan = engine::PlanSparse(request, model);
  const engine::SamplingParams& sampling = request.sampling;
  RequestWork work;
  work.full_steps = engine::CountFullSteps(plan, sampling.steps);
  work.sparse_steps = sampling.steps - work.full_steps;
  const int32_t blocks =
      std::max(1, static_cast<int32_t>(request.canvas.size()) / sampling.block_length);
  work.least_steps = sampling.confidence_threshold ? blocks : sampling.steps;
  if (may_end_early) work.least_steps /= blocks;
  work.least_full_steps = engine::LeastFullSteps(plan, work.least_steps);
  const auto rows = static_cast<double>(batch_tokens);
  const double pairs = FullPairs(request);
  work.full = {rows, pairs};
  work.sparse = {rows, plan.select * pairs};
  work.least_sparse = {rows, kLeastOfRatio * plan.select * pairs};
  return work;
}

StepWork NextStepWork(const engine::Sequence& sequence, int64_t batch_tokens) {
  StepWork work = {static_cast<double>(batch_tokens), FullPairs(sequence.request)};
  // The density is measured when the pattern is built, in a step before each sparse one.
  if (sequence.NextKind() == engine::StepKind::kSparse) {
    work.pairs *= sequence.density;
  }
  const double pairs_of_tile =
      static_cast<double>(engine::TileProbe::kQueries * sequence.ids.size());
  if (sequence.EstimatesNext()) work.pairs += pairs_of_tile;
  if (sequence.MeasuresNext()) work.pairs += pairs_of_tile;
  if (sequence.InspectsNext()) work.pairs += FullPairs(sequence.request) / sequence.num_passes();
  return work;
}

}  // namespace sparsed::server
