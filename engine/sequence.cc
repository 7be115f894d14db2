#include "engine/sequence.h"

#include <algorithm>
#include <utility>

#include "engine/decoding_schedule.h"

namespace sparsed::engine {

Sequence Sequence::FromRequest(const Request& request, const ModelInfo& model) {
  Sequence sequence;
  sequence.request = request;
  sequence.plan = PlanSparse(request, model);
  sequence.ids = request.ids;
  sequence.confidences.resize(request.canvas.size(), 0);
  sequence.commit_steps.resize(request.canvas.size(), -1);
  sequence.log_probabilities.resize(request.target_ids.size(), 0);
  return sequence;
}

StepKind Sequence::NextKind() const {
  if (!plan.used || sparse_over) return StepKind::kFull;
  if (refresh_due || (switched && selected_at < 0)) return StepKind::kSelect;
  if (switched && next_step <= plan.select_step) return StepKind::kSparse;
  return KindOfStep(plan, next_step);
}

bool Sequence::EstimatesNext() const {
  return recall_monitor && NextKind() == StepKind::kSparse &&
         (next_step - selected_at) % plan.recall_every == 0;
}

bool Sequence::MeasuresNext() const {
  const int32_t after = next_step + 1;
  if (!mass_budgets || sparse_over || after >= request.sampling.steps) return false;
  if (switched && after <= plan.select_step) return false;
  // Commits may bring the switch after any of these steps.
  if (plan.switch_by_commits && after <= plan.select_step) return true;
  return KindOfStep(plan, after) == StepKind::kSelect;
}

bool Sequence::IsBelowFloor(double recall) const {
  return request.sparse.recall_floor && recall < *request.sparse.recall_floor;
}

void Sequence::NoteStep(StepKind kind, std::vector<uint64_t> pattern, std::optional<double> recall,
                        std::vector<HeadCounts> measured) {
  if (kind == StepKind::kSparse && !first_sparse_step) first_sparse_step = next_step;
  if (kind == StepKind::kSelect) {
    selected_at = next_step;
    refresh_due = false;
  }
  if (!pattern.empty()) {
    const size_t layers = masks->Layers(/*pass=*/0).size() * num_passes();
    switched = !last_pattern.empty() &&
               LeastJaccardIndex(last_pattern, pattern, layers) >= *plan.switch_overlap;
    last_pattern = std::move(pattern);
  }
  if (plan.switch_by_commits && committed > plan.skip * gen_length()) switched = true;
  if (!measured.empty()) head_counts = std::move(measured);
  if (switched || next_step + 1 >= plan.select_step) last_pattern = std::vector<uint64_t>();
  if (!recall) return;
  ++recalls.estimates;
  recalls.sum += *recall;
  recalls.lowest = std::min(recalls.lowest, *recall);
  if (!IsBelowFloor(*recall)) return;
  ++recalls.below_floor;
  refresh_due = request.sparse.below_floor == FloorAction::kRefresh;
  sparse_over = request.sparse.below_floor == FloorAction::kFull;
}

int32_t Sequence::ComputedTokens() const {
  return CanvasBefore(request.sampling, gen_length(), schedule_step);
}

std::vector<int32_t> Sequence::CanvasIds(const ModelInfo& model) const {
  const int32_t computed = finished ? ComputedTokens() : gen_length();
  std::vector<int32_t> canvas(gen_length());
  for (int32_t i = 0; i < gen_length(); ++i) {
    canvas[i] = i < computed ? ids[request.canvas[i]] : model.end_token_ids.front();
  }
  return canvas;
}

}  // namespace sparsed::engine
