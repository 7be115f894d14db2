// The batcher without an engine: the server's queue order, admission, choice of steps and learning
// of their costs, on a clock that only the steps themselves move.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "server/batcher.h"
#include "server/step_work.h"

namespace sparsed::testing {

struct SimRequest {
  double arrival = 0;  // seconds
  int32_t tokens = 0;  // prompt and canvas
  int32_t steps = 0;
  int32_t full_steps = 0;  // the first ones, of `steps`
  double density = 1;      // of attention in the others
  int32_t priority = 0;
  double leaves_after = 1e30;  // seconds after its arrival it is cancelled
};

struct SimOptions {
  server::Limits limits;
  double cost_share = 0.25;
  // The truth that is to be learned: seconds of a step.
  double base = 0;
  double per_row = 0;
  double per_pair = 0;
  double noise = 0;  // each step takes up to this share more or less
  uint64_t seed = 1;
};

struct SimOutcome {
  double started = -1;  // seconds; negative: never
  double ended = -1;
  bool cancelled = false;
  int32_t steps = 0;
  // From its start, or a step's beginning, to its next step's beginning, at the longest; by the
  // clock, and as a multiple of the dearest step of all that ran in its time.
  double longest_gap = 0;
  double longest_gap_in_whole_steps = 0;
};

struct SimReport {
  std::vector<SimOutcome> outcomes;  // of each request
  double seconds = 0;                // when the last one ended
  double busy_seconds = 0;           // in steps
  int64_t engine_steps = 0;
  int64_t sequence_steps = 0;  // of all requests
  int64_t most_running = 0;
  int64_t idle_while_work = 0;  // turns without a step though something was there
  std::vector<size_t> start_order;
};

// Called before every step: what is held, and what of it takes part.
struct SimTurn {
  server::Holding held;
  int64_t step_rows = 0;
  int64_t step_sequences = 0;
};

// Runs all requests (in order of arrival) to their ends.
SimReport Simulate(const std::vector<SimRequest>& requests, const SimOptions& options,
                   const std::function<void(const SimTurn&)>& on_turn = nullptr);

}  // namespace sparsed::testing
