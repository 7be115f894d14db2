// How much of its attention a request's pattern still covers, estimated in some of its sparse
// steps: of the queries of a tile in every layer, the share of their softmax that lies in the kept
// blocks, averaged over the heads and the tile's canvas positions. Over the draws the estimate is
// the mean over all canvas positions, layers and heads. Next: engine/tile_probe.h (the tiles),
// sequence.h (what follows)
#pragma once

#include <cstdint>
#include <span>
#include <utility>

#include "absl/status/statusor.h"
#include "engine/model.h"
#include "engine/request.h"
#include "engine/step_scheduler.h"
#include "engine/tile_probe.h"
#include "kernels/backend.h"
#include "kernels/block_mask.h"

namespace sparsed::engine {

// Of one sequence; of its first pass where it is guided.
class RecallMonitor {
 public:
  static int64_t DeviceBytes(const SparsePlan& plan, const ModelInfo& model);
  // Errors: RESOURCE_EXHAUSTED.
  static absl::StatusOr<RecallMonitor> Create(kernels::Backend& backend, const SparsePlan& plan,
                                              const ModelInfo& model);

  // Draws the queries of a step. Borrowed until the next draw.
  ProbePlan Probe(const Request& request, int32_t step);
  // What the step drawn last has left, against the layers' patterns. Errors: as the backend's.
  absl::StatusOr<double> Read(kernels::Backend& backend, std::span<const int32_t> canvas,
                              std::span<const kernels::BlockMaskView> in_use) const;

 private:
  explicit RecallMonitor(TileProbe probe) : probe_(std::move(probe)) {}

  TileProbe probe_;
};

}  // namespace sparsed::engine
