#include "server/step_costs.h"

#include <random>

#include "tests/testing/catch.h"

namespace sparsed::server {
namespace {

constexpr double kBaseSeconds = 0.004;
constexpr double kPerRow = 2e-5;
constexpr double kPerPair = 3e-9;

double True(const StepWork& work) {
  return kBaseSeconds + kPerRow * work.rows + kPerPair * work.pairs;
}

StepWork Full(double tokens) { return {tokens, tokens * tokens}; }

RequestWork FullRequest(double tokens, int32_t steps) {
  RequestWork work;
  work.full_steps = work.least_steps = work.least_full_steps = steps;
  work.full = Full(tokens);
  return work;
}

}  // namespace

TEST_CASE("step costs: the fit finds base, rows and pairs through noise") {
  StepCosts costs;
  CHECK_FALSE(costs.measured());
  std::mt19937 random(1);
  std::uniform_real_distribution<double> noise(0.95, 1.05);
  for (int i = 0; i < 4000; ++i) {
    StepWork work;
    const int64_t sequences = 1 + random() % 8;
    for (int64_t k = 0; k < sequences; ++k) work += Full(64 << random() % 7);
    costs.Record(work, sequences, True(work) * noise(random));
  }
  CHECK(costs.measured());
  const StepCostFit fit = costs.Fit();
  CHECK(fit.base == Approx(kBaseSeconds).epsilon(0.25));
  CHECK(fit.per_row == Approx(kPerRow).epsilon(0.1));
  CHECK(fit.per_pair == Approx(kPerPair).epsilon(0.1));
}

TEST_CASE("step costs: many short steps do not make it forget a long one") {
  StepCosts costs;
  for (int i = 0; i < 5; ++i) costs.Record(Full(8192), 1, True(Full(8192)));
  for (int i = 0; i < 20000; ++i) costs.Record(Full(128 + i % 64), 1, True(Full(128 + i % 64)));
  const StepCostFit fit = costs.Fit();
  CHECK(fit.base + fit.Marginal(Full(8192)) == Approx(True(Full(8192))).epsilon(0.02));
}

TEST_CASE("step costs: where all steps are alike the base is taken for little") {
  StepCosts costs;
  for (int i = 0; i < 20; ++i) costs.Record(Full(4096), 1, 2);
  const StepCostFit fit = costs.Fit();
  CHECK(fit.base < 0.02);
  CHECK(fit.base + fit.Marginal(Full(4096)) == Approx(2).epsilon(0.001));
}

TEST_CASE("step costs: it follows a machine that becomes slower") {
  StepCosts costs;
  for (int i = 0; i < 100; ++i) costs.Record(Full(256), 1, 0.01);
  for (int i = 0; i < 100; ++i) costs.Record(Full(256), 1, 0.03);
  const StepCostFit fit = costs.Fit();
  CHECK(fit.base + fit.Marginal(Full(256)) == Approx(0.03).epsilon(0.01));
}

TEST_CASE("step costs: no coefficient is ever negative, whatever is measured") {
  std::mt19937 random(2);
  for (int trial = 0; trial < 200; ++trial) {
    StepCosts costs;
    for (int i = 0; i < 30; ++i) {
      costs.Record({double(1 + random() % 5000), double(1 + random() % 5000000)}, 1,
                   1e-4 * double(1 + random() % 10000));
      const StepCostFit fit = costs.Fit();
      CHECK(fit.base >= 0);
      CHECK(fit.per_row >= 0);
      CHECK(fit.per_pair >= 0);
      CHECK(fit.base + fit.per_row + fit.per_pair > 0);
    }
  }
}

TEST_CASE("step costs: steps that took no time or did nothing are no measurement") {
  StepCosts costs;
  costs.Record(Full(100), 1, 0);
  costs.Record(Full(100), 1, -1);
  costs.Record({}, 0, 1);
  CHECK_FALSE(costs.measured());
}

TEST_CASE("step costs: the least time is nothing until enough has been seen, and of like or less") {
  StepCosts costs;
  CHECK(costs.LeastSeconds(FullRequest(1024, 100)) == 0);
  for (int i = 0; i < 7; ++i) costs.Record(Full(1024), 1, 0.05 + 0.01 * i);
  CHECK(costs.LeastSeconds(FullRequest(1024, 100)) == 0);
  costs.Record(Full(1024), 1, 0.2);
  // The fastest, a fifth off.
  CHECK(costs.LeastSeconds(FullRequest(1024, 100)) == Approx(100 * 0.05 * 0.8));
  CHECK(costs.LeastSeconds(FullRequest(4096, 10)) == Approx(10 * 0.05 * 0.8));
  CHECK(costs.LeastSeconds(FullRequest(1023, 100)) == 0);
}

TEST_CASE("step costs: a sparse step is not held to be as slow as a full one") {
  StepCosts costs;
  for (int i = 0; i < 8; ++i) costs.Record(Full(1024), 1, 0.05);
  RequestWork work = FullRequest(1024, 20);
  work.sparse_steps = 80;
  work.least_steps = 100;
  work.sparse = {1024, 0.3 * 1024 * 1024};
  work.least_sparse = {1024, 0.15 * 1024 * 1024};
  CHECK(costs.LeastSeconds(work) == Approx(20 * 0.05 * 0.8));
  for (int i = 0; i < 8; ++i) costs.Record(work.least_sparse, 1, 0.02);
  CHECK(costs.LeastSeconds(work) == Approx((20 * 0.05 + 80 * 0.02) * 0.8));
}

TEST_CASE("step costs: where the text may end early only the first block's steps are certain") {
  StepCosts costs;
  for (int i = 0; i < 8; ++i) costs.Record(Full(1024), 1, 0.05);
  RequestWork work = FullRequest(1024, 100);
  work.least_steps = work.least_full_steps = 25;
  CHECK(costs.LeastSeconds(work) == Approx(25 * 0.05 * 0.8));
}

TEST_CASE("step costs: company shares the base") {
  StepCosts alone;
  StepCosts eight;
  for (int i = 0; i < 200; ++i) {
    for (const double tokens : {64.0, 256.0, 1024.0, 4096.0}) {
      alone.Record(Full(tokens), 1, True(Full(tokens)));
      StepWork work;
      for (int k = 0; k < 8; ++k) work += Full(tokens);
      eight.Record(Full(tokens), 8, True(Full(tokens)));
    }
  }
  const double marginal = True(Full(256)) - kBaseSeconds;
  CHECK(alone.ExpectedSeconds(FullRequest(256, 10)) ==
        Approx(10 * (kBaseSeconds + marginal)).epsilon(0.02));
  CHECK(eight.ExpectedSeconds(FullRequest(256, 10)) ==
        Approx(10 * (kBaseSeconds / 8 + marginal)).epsilon(0.02));
}

}  // namespace sparsed::server
