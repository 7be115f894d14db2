// What denoising steps cost on this machine, learned from the steps it has done. No clock.
// Next: server/step_picker.h
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <utility>

#include "server/step_work.h"

namespace sparsed::server {

// Seconds of a step: base + per_row rows + per_pair pairs. None is negative.
struct StepCostFit {
  double base = 0;  // paid once however many step together: reading the weights, starting threads
  double per_row = 0;
  double per_pair = 0;

  // What the work adds to a step that is done anyway.
  double Marginal(const StepWork& work) const {
    return per_row * work.rows + per_pair * work.pairs;
  }
};

// Thread-safe. Steps of about the same work share a cell, by powers of two of rows and pairs, so
// that a thousand short steps do not make it forget what a long one takes.
class StepCosts {
 public:
  // A step of `sequences` sequences with this work took so long. Not positive: not recorded.
  void Record(const StepWork& work, int64_t sequences, double seconds);

  bool measured() const;
  // The fit of least relative error over all cells. Before anything has been measured: one whose
  // ratios alone mean something.
  StepCostFit Fit() const;

  // A time that the request cannot beat even alone: no step has been faster than the fastest seen
  // of steps with no more rows and no more pairs, and a fifth is taken off for chance. 0 where too
  // few comparable steps have been seen.
  double LeastSeconds(const RequestWork& work) const;
  // The time that the request adds to the engine's work, in company as it was lately. 0 before
  // anything has been measured.
  double ExpectedSeconds(const RequestWork& work) const;

 private:
  struct Cell {
    int64_t steps = 0;
    // Smoothed:
    StepWork work;
    double seconds = 0;
    // Over all its steps:
    StepWork most;
    double least_seconds = 0;
  };

  double LeastStepSeconds(const StepWork& work) const;
  void Refit();

  mutable std::mutex mu_;
  // The members below are guarded by mu_.
  std::map<std::pair<int, int>, Cell> cells_;
  std::optional<StepCostFit> fit_;
  double sequences_ = 1;  // in a step, smoothed
};

}  // namespace sparsed::server
