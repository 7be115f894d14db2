#include "tests/testing/batcher_simulator.h"

#include <algorithm>
#include <map>
#include <random>

#include "server/step_costs.h"
#include "server/step_picker.h"

namespace sparsed::testing {
namespace {

using server::Holding;
using server::StepWork;

engine::Reservation NeedOf(const SimRequest& request) {
  return {request.tokens, request.full_steps < request.steps ? request.tokens : 0};
}

server::TimePoint ToTime(double seconds) {
  return server::TimePoint(
      std::chrono::duration_cast<server::Duration>(std::chrono::duration<double>(seconds)));
}

class Simulation {
 public:
  Simulation(const std::vector<SimRequest>& requests, const SimOptions& options,
             const std::function<void(const SimTurn&)>& on_turn)
      : requests_(requests),
        options_(options),
        on_turn_(on_turn),
        picker_(options.limits.max_batch_tokens, options.cost_share),
        random_(options.seed) {
    report_.outcomes.resize(requests.size());
  }

  SimReport Run() {
    while (arrived_ < requests_.size() || !waiting_.empty() || !running_.empty()) {
      Arrive();
      DropCancelled();
      Admit();
      if (running_.empty()) {
        Idle();
        continue;
      }
      Step();
    }
    report_.seconds = now_;
    return report_;
  }

 private:
  struct Active {
    double last = 0;     // its start, or when its last step began
    double dearest = 0;  // since then: a step of all that ran
  };

  void Arrive() {
    for (; arrived_ < requests_.size() && requests_[arrived_].arrival <= now_; ++arrived_) {
      waiting_.push_back(arrived_);
    }
  }

  bool Left(size_t index) const {
    return requests_[index].arrival + requests_[index].leaves_after <= now_;
  }

  void DropCancelled() {
    std::erase_if(running_, [this](const auto& entry) {
      if (!Left(entry.first - 1)) return false;
      End(entry.first - 1, true);
      return true;
    });
  }

  void End(size_t index, bool cancelled) {
    report_.outcomes[index].ended = now_;
    report_.outcomes[index].cancelled = cancelled;
  }

  void Admit() {
    std::vector<server::Waiting> waiting;
    for (const size_t index : waiting_) {
      const SimRequest& request = requests_[index];
      waiting.push_back({index, request.priority, ToTime(request.arrival), server::TimePoint::max(),
                         Left(index), NeedOf(request), 0});
    }
    Holding held;
    Holding large;
    for (const auto& [id, active] : running_) {
      const engine::Reservation need = NeedOf(requests_[id - 1]);
      held += need;
      if (server::IsLarge(need, options_.limits)) large += need;
    }
    const server::Admission admission =
        server::Admit(waiting, held, large, options_.limits, ToTime(now_));
    for (const uint64_t index : admission.cancelled) End(index, true);
    for (const uint64_t index : admission.start) {
      running_[index + 1] = {now_, 0};
      report_.outcomes[index].started = now_;
      report_.start_order.push_back(index);
    }
    std::erase_if(waiting_, [this](size_t index) {
      return report_.outcomes[index].started >= 0 || report_.outcomes[index].ended >= 0;
    });
    report_.most_running = std::max(report_.most_running, static_cast<int64_t>(running_.size()));
  }

  void Idle() {
    if (!waiting_.empty()) ++report_.idle_while_work;
    if (arrived_ < requests_.size()) now_ = std::max(now_, requests_[arrived_].arrival);
  }

  StepWork NextWork(size_t index) const {
    const SimRequest& request = requests_[index];
    const double tokens = request.tokens;
    const bool full = report_.outcomes[index].steps < request.full_steps;
    return {tokens, tokens * tokens * (full ? 1 : request.density)};
  }

  double True(const StepWork& work) const {
    return options_.base + options_.per_row * work.rows + options_.per_pair * work.pairs;
  }

  std::vector<engine::SequenceId> Pick() {
    const server::StepCostFit fit = costs_.Fit();
    std::vector<server::Runner> runners;
    for (const auto& [id, active] : running_) {
      runners.push_back({id, requests_[id - 1].tokens, fit.Marginal(NextWork(id - 1))});
    }
    return picker_.Pick(runners, fit.base);
  }

  void Step() {
    SimTurn turn;
    StepWork whole;
    for (const auto& [id, active] : running_) {
      turn.held += NeedOf(requests_[id - 1]);
      whole += NextWork(id - 1);
    }
    const double dearest = True(whole) * (1 + options_.noise);
    for (auto& [id, active] : running_) active.dearest = std::max(active.dearest, dearest);
    const std::vector<engine::SequenceId> chosen = Pick();
    if (chosen.empty()) ++report_.idle_while_work;
    StepWork work;
    for (const engine::SequenceId id : chosen) {
      work += NextWork(id - 1);
      turn.step_rows += requests_[id - 1].tokens;
      turn.step_sequences += 1;
      NoteGap(id, dearest);
    }
    if (on_turn_) on_turn_(turn);
    std::uniform_real_distribution<double> noise(1 - options_.noise, 1 + options_.noise);
    const double seconds = True(work) * noise(random_);
    costs_.Record(work, turn.step_sequences, seconds);
    now_ += seconds;
    report_.busy_seconds += seconds;
    report_.engine_steps += 1;
    report_.sequence_steps += turn.step_sequences;
    for (const engine::SequenceId id : chosen) {
      if (++report_.outcomes[id - 1].steps < requests_[id - 1].steps) continue;
      End(id - 1, false);
      running_.erase(id);
    }
  }

  // The step now is the first of its next gap.
  void NoteGap(engine::SequenceId id, double dearest) {
    Active& active = running_.at(id);
    SimOutcome& outcome = report_.outcomes[id - 1];
    const double gap = now_ - active.last;
    outcome.longest_gap = std::max(outcome.longest_gap, gap);
    outcome.longest_gap_in_whole_steps =
        std::max(outcome.longest_gap_in_whole_steps, gap / active.dearest);
    active = {now_, dearest};
  }

  const std::vector<SimRequest>& requests_;
  const SimOptions& options_;
  const std::function<void(const SimTurn&)>& on_turn_;
  server::StepPicker picker_;
  server::StepCosts costs_;
  std::mt19937_64 random_;
  double now_ = 0;
  size_t arrived_ = 0;
  std::vector<size_t> waiting_;
  std::map<engine::SequenceId, Active> running_;  // by index + 1
  SimReport report_;
};

}  // namespace

SimReport Simulate(const std::vector<SimRequest>& requests, const SimOptions& options,
                   const std::function<void(const SimTurn&)>& on_turn) {
  return Simulation(requests, options, on_turn).Run();
}

}  // namespace sparsed::testing
