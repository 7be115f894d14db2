// The queries of one tile of 128 tokens in every layer, which attend to all keys beside a step's
// own attention, and leave the importances of all blocks. The tile is that of a canvas position
// drawn at random, so that over the draws all canvas positions count alike. Tokens do not change.
// Next: engine/models/transformer.h (where they attend), recall_monitor.h and mass_budgets.h (what
// for)
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/model.h"
#include "engine/request.h"
#include "engine/step_scheduler.h"
#include "kernels/backend.h"
#include "kernels/block_mask.h"
#include "kernels/rng.h"

namespace sparsed::engine {

// Of one sequence; of its first pass where it is guided.
class TileProbe {
 public:
  // That attend to all keys in each layer, at most.
  static constexpr int64_t kQueries = kernels::kQueryTileTokens;

  // Which importances are left: those over all columns, and those over the canvas side where it is
  // ranked apart.
  enum class Sides : uint8_t { kAll, kAllAndCanvas };

  static int64_t DeviceBytes(const SparsePlan& plan, const ModelInfo& model, Sides sides);
  // selection: what the importances are of. Errors: RESOURCE_EXHAUSTED.
  static absl::StatusOr<TileProbe> Create(kernels::Backend& backend, const SparsePlan& plan,
                                          const ModelInfo& model, Sides sides,
                                          const kernels::BlockSelection& selection);

  // Draws the queries of a step, from the request's seed, the step and the layer alone. Borrowed
  // until the next draw.
  ProbePlan Draw(const Request& request, int32_t step, kernels::RandomStream stream);

  int32_t num_layers() const { return static_cast<int32_t>(queries_.size()); }
  int32_t num_heads() const { return masks_.front().num_heads; }
  int32_t num_blocks() const { return masks_.front().num_blocks; }
  int32_t canvas_blocks() const { return canvas_blocks_; }  // n2; 0 with kAll
  // Of the step drawn last.
  const kernels::QueryRange& queries(int32_t layer) const { return queries_[layer]; }
  int64_t query_blocks(int32_t layer) const;

  // What the step drawn last has left: [H, query blocks, n], and over the canvas side [H, query
  // blocks, canvas_blocks]. Errors: as the backend's.
  absl::Status Read(kernels::Backend& backend, int32_t layer, std::vector<float>& importance) const;
  absl::Status ReadCanvas(kernels::Backend& backend, int32_t layer,
                          std::vector<float>& importance) const;

 private:
  TileProbe(const SparsePlan& plan, const ModelInfo& model, Sides sides,
            const kernels::BlockSelection& selection, kernels::Buffer memory);
  absl::Status ReadFrom(kernels::Backend& backend, int32_t layer, const float* device,
                        int64_t columns, std::vector<float>& importance) const;

  kernels::BlockSelection selection_;
  int32_t canvas_blocks_ = 0;
  kernels::Buffer memory_;
  // num_layers each. All layers leave their patterns, which nobody reads, in the same place.
  std::vector<kernels::BlockMaskView> masks_;
  std::vector<float*> importances_;
  std::vector<float*> canvas_importances_;  // empty with kAll
  std::vector<kernels::QueryRange> queries_;
};

}  // namespace sparsed::engine
