#include "server/step_costs.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace sparsed::server {
namespace {

constexpr double kWeightOfNewest = 0.1;
constexpr int64_t kEnoughSteps = 8;       // of a cell, before its fastest one refuses anybody
constexpr double kSureShare = 0.8;        // of the fastest seen
constexpr double kTokensOfParity = 4096;  // unmeasured: where attention costs what products cost

using Vector = std::array<double, 3>;
struct Normal {  // the normal equations of a least squares fit
  std::array<Vector, 3> matrix = {};
  Vector right = {};
  double constant = 0;
};

// The fit with the other coefficients zero. Nothing if there is none without negative ones.
std::optional<Vector> Solve(const Normal& normal, unsigned used) {
  std::array<Vector, 3> a = normal.matrix;
  Vector x = normal.right;
  for (int i = 0; i < 3; ++i) {
    if ((used >> i & 1) != 0) continue;
    for (int j = 0; j < 3; ++j) a[i][j] = a[j][i] = i == j ? 1 : 0;
    x[i] = 0;
  }
  // Positive definite, so that no pivoting is needed.
  for (int i = 0; i < 3; ++i) {
    for (int j = i + 1; j < 3; ++j) {
      const double factor = a[j][i] / a[i][i];
      for (int k = i; k < 3; ++k) a[j][k] -= factor * a[i][k];
      x[j] -= factor * x[i];
    }
  }
  for (int i = 2; i >= 0; --i) {
    for (int k = i + 1; k < 3; ++k) x[i] -= a[i][k] * x[k];
    x[i] /= a[i][i];
    if (x[i] < 0 || !std::isfinite(x[i])) return std::nullopt;
  }
  return x;
}

double Error(const Normal& normal, const Vector& x) {
  double error = normal.constant;
  for (int i = 0; i < 3; ++i) {
    error -= 2 * x[i] * normal.right[i];
    for (int j = 0; j < 3; ++j) error += x[i] * normal.matrix[i][j] * x[j];
  }
  return error;
}

// Columns are scaled to a diagonal of one; a little is added, which decides what the steps seen
// cannot tell apart. The base comes last: who takes it for nothing lets steps be small and so
// learns what it is, who takes it for all lets everybody step together and never learns.
Vector SolveNonNegative(Normal normal) {
  constexpr Vector kRidge = {3e-3, 1e-5, 1e-5};
  Vector scale;
  for (int i = 0; i < 3; ++i) scale[i] = 1 / std::sqrt(std::max(1e-300, normal.matrix[i][i]));
  for (int i = 0; i < 3; ++i) {
    normal.right[i] *= scale[i];
    for (int j = 0; j < 3; ++j) normal.matrix[i][j] *= scale[i] * scale[j];
    normal.matrix[i][i] += kRidge[i];
  }
  Vector best = {};
  double best_error = normal.constant;
  for (unsigned used = 1; used < 8; ++used) {
    const std::optional<Vector> x = Solve(normal, used);
    if (!x) continue;
    const double error = Error(normal, *x);
    if (error >= best_error) continue;
    best = *x;
    best_error = error;
  }
  for (int i = 0; i < 3; ++i) best[i] *= scale[i];
  return best;
}

void Smooth(double& value, double newest, double weight) { value += weight * (newest - value); }

}  // namespace

void StepCosts::Record(const StepWork& work, int64_t sequences, double seconds) {
  if (seconds <= 0 || work.rows <= 0 || work.pairs <= 0) return;
  const std::lock_guard lock(mu_);
  Cell& cell = cells_[{std::ilogb(work.rows), std::ilogb(work.pairs)}];
  const double weight = std::max(kWeightOfNewest, 1.0 / static_cast<double>(++cell.steps));
  Smooth(cell.work.rows, work.rows, weight);
  Smooth(cell.work.pairs, work.pairs, weight);
  Smooth(cell.seconds, seconds, weight);
  cell.most.rows = std::max(cell.most.rows, work.rows);
  cell.most.pairs = std::max(cell.most.pairs, work.pairs);
  cell.least_seconds = cell.steps == 1 ? seconds : std::min(cell.least_seconds, seconds);
  Smooth(sequences_, static_cast<double>(sequences), kWeightOfNewest);
  Refit();
}

bool StepCosts::measured() const {
  const std::lock_guard lock(mu_);
  return fit_.has_value();
}

StepCostFit StepCosts::Fit() const {
  const std::lock_guard lock(mu_);
  return fit_.value_or(StepCostFit{0, 1, 1 / kTokensOfParity});
}

double StepCosts::LeastSeconds(const RequestWork& work) const {
  const int32_t full = work.least_full_steps;
  const int32_t sparse = work.least_steps - full;
  const std::lock_guard lock(mu_);
  const double seconds =
      full * LeastStepSeconds(work.full) + sparse * LeastStepSeconds(work.least_sparse);
  return kSureShare * seconds;
}

double StepCosts::ExpectedSeconds(const RequestWork& work) const {
  const std::lock_guard lock(mu_);
  if (!fit_) return 0;
  const double shared = fit_->base / std::max(1.0, sequences_);
  return work.full_steps * (shared + fit_->Marginal(work.full)) +
         work.sparse_steps * (shared + fit_->Marginal(work.sparse));
}

double StepCosts::LeastStepSeconds(const StepWork& work) const {
  double seconds = 0;
  for (const auto& [key, cell] : cells_) {
    if (cell.steps < kEnoughSteps) continue;
    if (cell.most.rows > work.rows || cell.most.pairs > work.pairs) continue;
    seconds = std::max(seconds, cell.least_seconds);
  }
  return seconds;
}

void StepCosts::Refit() {
  Normal normal;
  for (const auto& [key, cell] : cells_) {
    const Vector features = {1 / cell.seconds, cell.work.rows / cell.seconds,
                             cell.work.pairs / cell.seconds};
    for (int i = 0; i < 3; ++i) {
      normal.right[i] += features[i];
      for (int j = 0; j < 3; ++j) normal.matrix[i][j] += features[i] * features[j];
    }
    normal.constant += 1;
  }
  const Vector x = SolveNonNegative(normal);
  fit_ = {x[0], x[1], x[2]};
}

}  // namespace sparsed::server
