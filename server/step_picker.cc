#include "server/step_picker.h"

#include <algorithm>

namespace sparsed::server {
namespace {

constexpr double kShortFactor = 4;
// Of what the short ones cost: what may come along without having earned it.
constexpr double kRideAlong = 0.5;
// Steps that a request may have saved: what it earns while it waits to be chosen is not lost.
constexpr double kMostSaved = 2;
// Sums of shares are not exact: what is all but earned counts as earned.
constexpr double kEarned = 1 - 1e-9;

}  // namespace

std::vector<engine::SequenceId> StepPicker::Pick(const std::vector<Runner>& running, double base) {
  ++turn_;
  std::vector<Candidate> candidates = Gather(running, base);
  Choose(candidates);
  Settle(candidates, base);
  std::vector<engine::SequenceId> ids;
  for (const Candidate& one : candidates) {
    if (!one.chosen) continue;
    ids.push_back(one.runner->id);
    one.state->last_turn = turn_;
  }
  return ids;
}

std::vector<StepPicker::Candidate> StepPicker::Gather(const std::vector<Runner>& running,
                                                      double base) {
  std::map<engine::SequenceId, State> states;
  std::vector<Candidate> candidates;
  if (!running.empty()) {
    const auto cheapest =
        std::min_element(running.begin(), running.end(),
                         [](const Runner& a, const Runner& b) { return a.marginal < b.marginal; });
    const double most_short = kShortFactor * std::max(cheapest->marginal, base);
    for (const Runner& runner : running) {
      const double cost = runner.marginal + base / static_cast<double>(running.size());
      const auto known = states_.find(runner.id);
      State& state = states[runner.id];
      state = known == states_.end() ? State{1, turn_ - 1} : known->second;
      const bool is_short = cost_share_ >= 1 || runner.marginal <= most_short;
      candidates.push_back({&runner, &state, cost, is_short, false});
    }
  }
  // The nodes that the candidates point to move along.
  states_.swap(states);
  return candidates;
}

void StepPicker::Choose(std::vector<Candidate>& candidates) const {
  std::vector<Candidate*> order;
  for (Candidate& one : candidates) order.push_back(&one);
  std::stable_sort(order.begin(), order.end(), [](const Candidate* a, const Candidate* b) {
    return a->state->last_turn < b->state->last_turn;
  });
  int64_t rows = 0;
  const auto take = [&rows, this](Candidate& one) {
    if (rows + one.runner->rows > max_rows_) return false;
    rows += one.runner->rows;
    one.chosen = true;
    return true;
  };
  const auto earned = [](const Candidate& one) {
    return !one.is_short && one.state->credit >= kEarned;
  };
  const auto first = std::find_if(order.begin(), order.end(),
                                  [&earned](const Candidate* one) { return earned(*one); });
  if (first != order.end()) take(**first);
  double short_cost = 0;
  for (Candidate* one : order) {
    if (!one->is_short) continue;
    if (!take(*one)) break;
    short_cost += one->cost;
  }
  double long_cost = first == order.end() ? 0 : (*first)->cost;
  for (Candidate* one : order) {
    if (one->is_short || one->chosen) continue;
    const double most = earned(*one) ? short_cost : kRideAlong * short_cost;
    if (long_cost + one->cost <= most && take(*one)) long_cost += one->cost;
  }
}

void StepPicker::Settle(std::vector<Candidate>& candidates, double base) const {
  double total = 0;
  double step = base;
  for (const Candidate& one : candidates) {
    total += one.cost;
    if (one.chosen) step += one.runner->marginal;
  }
  const auto count = static_cast<double>(candidates.size());
  for (Candidate& one : candidates) {
    const double by_cost = total > 0 ? one.cost / total : 1 / count;
    const double share = cost_share_ * by_cost + (1 - cost_share_) / count;
    const double earned = one.cost > 0 ? share * step / one.cost : 1;
    one.state->credit =
        std::clamp(one.state->credit + earned - (one.chosen ? 1 : 0), 0.0, kMostSaved);
  }
}

}  // namespace sparsed::server
