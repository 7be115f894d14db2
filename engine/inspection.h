// What an inspected request shows: at chosen steps a pattern is selected beside the step's own
// attention, from the queries and keys of that step, and compared with the others. Tokens do not
// change.
// Next: engine/models/transformer.h (where it is selected), kernels/backend.h (by which rule)
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/model.h"
#include "engine/request.h"
#include "engine/step_scheduler.h"
#include "kernels/backend.h"
#include "kernels/block_mask.h"

namespace sparsed::engine {

// One head of one layer at one step. n blocks; a row is as long as in kernels/block_mask.h.
struct InspectedHead {
  int32_t layer = 0;
  int32_t head = 0;
  std::vector<uint64_t> kept;     // [n, words]: the pattern selected at this step
  std::vector<float> importance;  // [n, n]; empty unless wanted
  // Shares of the full attention's mass: in the blocks of the pattern in use, and in those of
  // `kept`. None where the selection has another softmax; no recall at a full step, which uses no
  // pattern.
  std::optional<double> recall;
  std::optional<double> fresh_recall;
  // Jaccard index with the pattern of every inspected step so far, this one last.
  std::vector<double> similarity;
};

struct InspectedStep {
  int32_t step = 0;
  StepKind kind = StepKind::kFull;
  std::vector<InspectedHead> heads;  // by layer, then by head; empty: the step was not inspected
};

// The share of all importance that lies in the kept blocks of rows of n; 1 where there is none.
double KeptShare(std::span<const float> importance, std::span<const uint64_t> kept, int32_t n);
// Blocks in both over blocks in either; 1 where both are empty. Equal sizes.
double JaccardIndex(std::span<const uint64_t> a, std::span<const uint64_t> b);
// The least of the indices of `parts` equally long parts of a and b.
double LeastJaccardIndex(std::span<const uint64_t> a, std::span<const uint64_t> b, size_t parts);

// The params as they are carried out: layers and heads all where none is named, each list ascending
// and without repetitions, the select step among the steps.
InspectParams ResolveInspection(const InspectParams& params, const SparsePlan& plan,
                                const ModelInfo& model);

// Of one sequence.
class Inspection {
 public:
  // Bytes on the device: pattern and importances of the inspected layers, all heads.
  static int64_t DeviceBytes(const InspectParams& resolved, const SparsePlan& plan,
                             const ModelInfo& model);
  // Bytes on the host, at the most: what all steps return and what is kept to compare with.
  static int64_t HostBytes(const InspectParams& resolved, const SparsePlan& plan);
  // Errors: RESOURCE_EXHAUSTED.
  static absl::StatusOr<Inspection> Create(kernels::Backend& backend, const InspectParams& resolved,
                                           const SparsePlan& plan, const ModelInfo& model);

  bool Wants(int32_t step) const;
  // Where the pass leaves what it selects; borrowed from here.
  ProbePlan Probe() const;
  // What the step has left, compared with the steps before. in_use: the layers' patterns that a
  // sparse step has used. Errors: as the backend's.
  absl::StatusOr<InspectedStep> Read(kernels::Backend& backend, int32_t step, StepKind kind,
                                     std::span<const kernels::BlockMaskView> in_use) const;
  // From now on this step is one of those before.
  void Remember(const InspectedStep& step);

 private:
  Inspection(const InspectParams& resolved, const SparsePlan& plan, const ModelInfo& model,
             kernels::Buffer memory);

  absl::Status ReadHead(kernels::Backend& backend, StepKind kind,
                        std::span<const kernels::BlockMaskView> in_use, size_t index,
                        InspectedHead& head) const;
  // One head's rows of a pattern.
  absl::StatusOr<std::vector<uint64_t>> ReadRows(kernels::Backend& backend,
                                                 const kernels::BlockMaskView& mask,
                                                 int32_t head) const;

  InspectParams params_;
  kernels::BlockSelection selection_;
  int32_t num_blocks_ = 0;
  bool mass_is_attention_ = false;  // the selection's softmax is the attention's
  kernels::Buffer memory_;
  std::vector<kernels::BlockMaskView> masks_;  // [num_layers]; without bits where not inspected
  std::vector<float*> importances_;            // [num_layers]; null where not inspected
  // Of each step before, the patterns by layer and head.
  std::vector<std::vector<std::vector<uint64_t>>> history_;
};

}  // namespace sparsed::engine
