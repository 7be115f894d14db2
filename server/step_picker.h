// Chooses which of the running requests take part in the next step, so that one with a long context
// does not hold up the short ones, and none starves. No clock, no randomness.
// Next: engine/engine.h (Step)
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "engine/engine.h"

namespace sparsed::server {

// A running request, as the choice sees it.
struct Runner {
  engine::SequenceId id = 0;
  int64_t rows = 0;     // packed rows it takes in a step
  double marginal = 0;  // seconds that its next step adds to one that is done anyway
};

// The rule. A request is short if its step costs at most four times the cheapest one's, or four
// times the base that every step pays: apart from those it could gain little, or a step of its own
// would waste much. Short ones take part in every step. The others earn their steps: of the time
// that steps take each is credited a share, `cost_share` of the time in proportion to cost and the
// rest equally, and it takes part once it has earned its cost. Of several that have, the one that
// waits longest takes part, and more of them while all long ones in the step cost no more than the
// short ones; those that have not earned it come along while they cost no more than half of that. A
// newcomer need not earn its first step. Where the rows of a step do not suffice for the short
// ones, those that wait longest go first.
//
// Bound: with n running whose steps cost C if all took part, each takes part again within
// (1 / cost_share + n + 1) C seconds of steps, and the long ones, whose place no short one takes,
// have at least cost_share of the time they would have if all took part in every step.
class StepPicker {
 public:
  // max_rows: of one step; every runner's rows must be within it. cost_share: (0, 1]; with 1 every
  // request takes part in every step.
  StepPicker(int64_t max_rows, double cost_share) : max_rows_(max_rows), cost_share_(cost_share) {}

  // The next step's requests, ascending; not empty unless `running` is. `running`: all that run,
  // ascending by id. base: seconds of a step beside what its requests add.
  std::vector<engine::SequenceId> Pick(const std::vector<Runner>& running, double base);

 private:
  struct State {
    double credit = 0;       // steps that it has earned
    uint64_t last_turn = 0;  // of taking part or of coming
  };
  struct Candidate {
    const Runner* runner = nullptr;
    State* state = nullptr;
    double cost = 0;  // with its part of the base
    bool is_short = false;
    bool chosen = false;
  };

  std::vector<Candidate> Gather(const std::vector<Runner>& running, double base);
  void Choose(std::vector<Candidate>& candidates) const;
  void Settle(std::vector<Candidate>& candidates, double base) const;

  const int64_t max_rows_;
  const double cost_share_;
  std::map<engine::SequenceId, State> states_;
  uint64_t turn_ = 0;
};

}  // namespace sparsed::server
