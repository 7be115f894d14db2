// How much of its attention a request's pattern still covers, estimated in some of its sparse
// steps: in every layer the queries of one tile of 128 tokens attend to all keys as well, and the
// share of their softmax that lies in the kept blocks is averaged over the heads and the tile's
// canvas positions. The tile is that of a canvas position drawn at random, so that over the draws
// the estimate is the mean over all canvas positions, layers and heads. Tokens do not change. Next:
// engine/models/transformer.h (where the queries attend), sequence.h (what follows)
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/model.h"
#include "engine/request.h"
#include "engine/step_scheduler.h"
#include "kernels/backend.h"
#include "kernels/block_mask.h"

namespace sparsed::engine {

// Of one sequence; of its first pass where it is guided.
class RecallMonitor {
 public:
  // That attend to all keys in each layer, at most.
  static constexpr int64_t kQueries = kernels::kQueryTileTokens;

  static int64_t DeviceBytes(const SparsePlan& plan, const ModelInfo& model);
  // Errors: RESOURCE_EXHAUSTED.
  static absl::StatusOr<RecallMonitor> Create(kernels::Backend& backend, const SparsePlan& plan,
                                              const ModelInfo& model);

  // Draws the queries of a step, from the request's seed, the step and the layer alone. Borrowed
  // until the next draw.
  ProbePlan Probe(const Request& request, int32_t step);
  // What the step drawn last has left, against the layers' patterns. Errors: as the backend's.
  absl::StatusOr<double> Read(kernels::Backend& backend, std::span<const int32_t> canvas,
                              std::span<const kernels::BlockMaskView> in_use) const;

 private:
  RecallMonitor(const SparsePlan& plan, const ModelInfo& model, kernels::Buffer memory);

  kernels::BlockSelection selection_;
  kernels::Buffer memory_;
  // num_layers each. All layers leave their patterns, which nobody reads, in the same place.
  std::vector<kernels::BlockMaskView> masks_;
  std::vector<float*> importances_;
  std::vector<kernels::QueryRange> queries_;
};

}  // namespace sparsed::engine
