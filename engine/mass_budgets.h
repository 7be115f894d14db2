// Budgets by covered mass: how many blocks each head of each layer keeps in a row of its pattern,
// such that heads whose attention is spread out keep more, others less, and all together as many as
// if every head kept the same. In the step before one that selects, the queries of a tile in every
// layer attend to all keys; from their importances the host sees what mass each head covers with
// how many blocks. Next: engine/tile_probe.h (the tiles), kernels/backend.h (BlockSelection, by
// which the next step selects)
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/model.h"
#include "engine/request.h"
#include "engine/step_scheduler.h"
#include "engine/tile_probe.h"
#include "kernels/backend.h"

namespace sparsed::engine {

// Columns that a head keeps; as BlockSelection::head_counts has them.
struct HeadCounts {
  int32_t prompt = 0;
  int32_t canvas = 0;

  bool operator==(const HeadCounts&) const = default;
};

// What a head's k best columns are worth, k = 0..n: the mass that they cover, and how many of them
// it really keeps, since the prompt side drops those of the canvas. The mean of some rows.
struct MassCurve {
  std::vector<double> mass;
  std::vector<double> kept;
};

// Pure. How many best columns each head takes, so that all together keep as many as if each took
// `uniform`, to half a one, and cover as much as can be, to a 64th of the columns, and never less.
// Each takes a tenth of `uniform` at least, and one. Curves of one length n + 1; uniform in [1, n].
std::vector<int32_t> SplitColumns(std::span<const MassCurve> curves, int32_t uniform);

// Of one sequence; of its first pass where it is guided. The pass without the prompt keeps the same
// in every head.
class MassBudgets {
 public:
  static int64_t DeviceBytes(const SparsePlan& plan, const ModelInfo& model);
  // Errors: RESOURCE_EXHAUSTED.
  static absl::StatusOr<MassBudgets> Create(kernels::Backend& backend, const SparsePlan& plan,
                                            const ModelInfo& model);

  // Draws the queries of a step. Borrowed until the next draw.
  ProbePlan Probe(const Request& request, int32_t step);
  // What the step drawn last tells: [num_layers, H]. Errors: as the backend's.
  absl::StatusOr<std::vector<HeadCounts>> Read(kernels::Backend& backend) const;
  // Puts counts, as Read gives them, where device_counts() is. Errors: as the backend's.
  absl::Status Upload(kernels::Backend& backend, std::span<const HeadCounts> counts);
  const int32_t* device_counts() const { return counts_.as<int32_t>(); }  // [num_layers, H, 2]

 private:
  MassBudgets(const SparsePlan& plan, TileProbe probe, kernels::Buffer counts)
      : first_canvas_block_(SelectionOf(plan).first_canvas_block),
        keep_prompt_(plan.keep_prompt),
        keep_canvas_(plan.keep_canvas),
        probe_(std::move(probe)),
        counts_(std::move(counts)) {}

  int32_t first_canvas_block_;
  int32_t keep_prompt_;
  int32_t keep_canvas_;
  TileProbe probe_;
  kernels::Buffer counts_;
};

}  // namespace sparsed::engine
