// One running request: its canvas, its place in the schedule and its mask cache.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "engine/inspection.h"
#include "engine/mask_cache.h"
#include "engine/mass_budgets.h"
#include "engine/recall_monitor.h"
#include "engine/request.h"
#include "engine/step_scheduler.h"

namespace sparsed::engine {

struct StepCounts {
  int32_t full = 0;
  int32_t select = 0;
  int32_t sparse = 0;
};

// The estimates of a sequence's recall so far.
struct RecallCounts {
  int32_t estimates = 0;
  int32_t below_floor = 0;
  double sum = 0;
  double lowest = 1;
};

struct Sequence {
  Request request;
  SparsePlan plan;
  std::optional<MaskCache> masks;               // present iff plan.used
  std::optional<Inspection> inspection;         // present iff request.inspect
  std::optional<RecallMonitor> recall_monitor;  // present iff plan.used and plan.recall_every
  std::optional<MassBudgets> mass_budgets;      // present iff plan.used and budgets are by mass
  std::vector<int32_t> ids;                     // N: the sequence as it stands
  std::vector<float> confidences;     // G: of each committed canvas position; 0 where none
  std::vector<int32_t> commit_steps;  // G: step of each commit; -1 where none
  // G: of each committed target, what the model gave it in that step; 0 where none. Empty without
  // targets.
  std::vector<float> log_probabilities;
  int32_t next_step = 0;  // 0..T: so many have been done
  // 0..T: the step of the decoding schedule that it is: ahead of next_step where blocks have ended
  // before their time.
  int32_t schedule_step = 0;
  int32_t committed = 0;  // canvas positions
  StepCounts counts;
  RecallCounts recalls;
  double density = 1.0;      // of the pattern; 1 before it is built
  int32_t selected_at = -1;  // the step that selected the pattern in use
  bool refresh_due = false;  // the next sparse step selects instead
  bool sparse_over = false;  // no step is sparse any more
  // By switch_overlap, or by the committed share: the full steps that were left are sparse, once a
  // pattern is selected.
  bool switched = false;
  std::vector<uint64_t> last_pattern;  // of the step before, while a switch may come; else empty
  // [num_layers, H], as mass was measured last; empty: not yet, the plan's counts hold.
  std::vector<HeadCounts> head_counts;
  std::optional<int32_t> first_sparse_step;
  bool finished = false;

  // A sequence before its first step, without its memory on the device. The request must have
  // passed CheckRequest.
  static Sequence FromRequest(const Request& request, const ModelInfo& model);

  int32_t gen_length() const { return static_cast<int32_t>(request.canvas.size()); }  // G
  // 1, or 2 with guidance: pass 0 sees the sequence, pass 1 only its canvas.
  int32_t num_passes() const { return request.sampling.cfg_scale > 0 ? 2 : 1; }

  // The kind of the next step: as planned, unless a switch has come or the recall has fallen below
  // its floor.
  StepKind NextKind() const;
  bool InspectsNext() const { return inspection && inspection->Wants(next_step); }
  bool EstimatesNext() const;
  // Whether the next step measures what mass the heads cover, for a selection in the step after it.
  bool MeasuresNext() const;
  // Whether the next step selects by head_counts.
  bool UsesHeadCountsNext() const {
    return !head_counts.empty() && (NextKind() == StepKind::kSelect || InspectsNext());
  }
  // Whether the pattern of the next step says if the one after it is sparse.
  bool ComparesNext() const {
    return plan.used && plan.switch_overlap && !switched && next_step < plan.select_step;
  }
  bool IsBelowFloor(double recall) const;
  // Takes in what a step of this kind has done to the pattern, the pattern itself where
  // ComparesNext, its recall where EstimatesNext, and what the heads are to keep where
  // MeasuresNext.
  void NoteStep(StepKind kind, std::vector<uint64_t> pattern, std::optional<double> recall,
                std::vector<HeadCounts> measured);

  // Canvas positions in decoding blocks that are done; once it is finished, all that were computed.
  int32_t ComputedTokens() const;

  // The canvas as ids, G of them. Positions in decoding blocks that were never computed because the
  // text ended before them hold the model's first end token.
  std::vector<int32_t> CanvasIds(const ModelInfo& model) const;
};

}  // namespace sparsed::engine
