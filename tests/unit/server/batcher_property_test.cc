// What must hold of admission and choice of steps for any load, in simulation.
#include <algorithm>
#include <random>

#include "tests/testing/batcher_simulator.h"
#include "tests/testing/catch.h"
#include "tests/testing/sanitizers.h"

namespace sparsed::server {
namespace {

using testing::SimOptions;
using testing::SimOutcome;
using testing::SimReport;
using testing::SimRequest;
using testing::SimTurn;
using testing::Simulate;

constexpr int kTrials = testing::kSanitizer ? 60 : 300;

template <typename T>
T Pick(std::mt19937_64& random, std::initializer_list<T> values) {
  return *(values.begin() + random() % values.size());
}

SimOptions RandomOptions(std::mt19937_64& random) {
  SimOptions options;
  options.limits.max_running = Pick(random, {1, 3, 16, 64});
  options.limits.max_batch_tokens = Pick(random, {8192, 16384, 65536});
  options.limits.max_running_tokens = options.limits.max_batch_tokens * Pick(random, {1, 2, 4});
  options.limits.max_mask_cache_bytes = Pick(random, {8192, 100000, 1 << 30});
  options.cost_share = Pick(random, {0.1, 0.25, 0.5, 1.0});
  options.base = Pick(random, {0.0, 0.0005, 0.01});
  options.per_row = Pick(random, {1e-6, 1e-5});
  options.per_pair = Pick(random, {1e-11, 1e-9, 1e-8});
  options.noise = Pick(random, {0.0, 0.1, 0.3});
  options.seed = random();
  return options;
}

std::vector<SimRequest> RandomLoad(std::mt19937_64& random, const SimOptions& options,
                                   bool cancels) {
  std::vector<SimRequest> load(20 + random() % 100);
  std::exponential_distribution<double> gap(1 / Pick(random, {0.001, 0.05, 1.0}));
  double now = 0;
  for (SimRequest& request : load) {
    request.arrival = now += random() % 4 == 0 ? gap(random) : 0;
    const int32_t most = static_cast<int32_t>(options.limits.max_batch_tokens);
    request.tokens = random() % 8 == 0 ? most / (1 + random() % 8) : 32 + random() % 480;
    request.tokens = std::min<int32_t>(request.tokens, 8192 + random() % 60000);
    request.tokens = std::min<int32_t>(request.tokens, most);
    request.steps = 1 + static_cast<int32_t>(random() % 32);
    request.full_steps = request.steps;
    if (request.tokens >= 1024 && request.tokens <= options.limits.max_mask_cache_bytes) {
      request.full_steps = std::min(request.steps, 1 + request.steps / 5);
      request.density = 0.3;
    }
    request.priority = Pick(random, {0, 0, 0, 5, -5});
    if (cancels && random() % 5 == 0) request.leaves_after = gap(random);
  }
  return load;
}

}  // namespace

TEST_CASE("batcher, any load: budgets hold, no turn is idle, everyone gets all their steps") {
  std::mt19937_64 random(1);
  for (int trial = 0; trial < kTrials; ++trial) {
    CAPTURE(trial);
    const SimOptions options = RandomOptions(random);
    const std::vector<SimRequest> load = RandomLoad(random, options, true);
    bool within = true;
    const SimReport report = Simulate(load, options, [&](const SimTurn& turn) {
      within = within && turn.held.running <= options.limits.max_running &&
               turn.held.batch_tokens <= options.limits.running_tokens() &&
               turn.held.mask_cache_bytes <= options.limits.max_mask_cache_bytes &&
               turn.step_rows <= options.limits.max_batch_tokens && turn.step_sequences > 0;
    });
    CHECK(within);
    CHECK(report.idle_while_work == 0);
    for (size_t i = 0; i < load.size(); ++i) {
      const SimOutcome& outcome = report.outcomes[i];
      CHECK(outcome.ended >= load[i].arrival);
      CHECK(outcome.steps <= load[i].steps);
      CHECK((outcome.cancelled || outcome.steps == load[i].steps));
    }
  }
}

TEST_CASE("batcher, any load: nobody who runs waits longer for a step than the bound says") {
  std::mt19937_64 random(2);
  double longest = 0;
  for (int trial = 0; trial < kTrials; ++trial) {
    CAPTURE(trial);
    const SimOptions options = RandomOptions(random);
    const SimReport report = Simulate(RandomLoad(random, options, true), options);
    // What is chosen by is an estimate; noise is what it may be wrong by.
    const double slack = (1 + options.noise) / (1 - options.noise);
    const double bound =
        slack * (1 / options.cost_share + static_cast<double>(report.most_running) + 1);
    for (const SimOutcome& outcome : report.outcomes) {
      CHECK(outcome.longest_gap_in_whole_steps <= bound);
      longest = std::max(longest, outcome.longest_gap_in_whole_steps / bound);
    }
  }
  // The bound is not so wide that it would never be missed.
  CHECK(longest > 0.1);
}

TEST_CASE(
    "batcher, any load: with a share of one nobody sits out, unless the rows do not suffice") {
  std::mt19937_64 random(3);
  for (int trial = 0; trial < kTrials / 3; ++trial) {
    CAPTURE(trial);
    SimOptions options = RandomOptions(random);
    options.cost_share = 1;
    options.limits.max_running_tokens = 0;
    bool all = true;
    Simulate(RandomLoad(random, options, false), options,
             [&](const SimTurn& turn) { all = all && turn.step_sequences == turn.held.running; });
    CHECK(all);
  }
}

TEST_CASE("batcher, any load: equals start in the order of their arrival") {
  std::mt19937_64 random(4);
  for (int trial = 0; trial < kTrials / 3; ++trial) {
    CAPTURE(trial);
    const SimOptions options = RandomOptions(random);
    std::vector<SimRequest> load = RandomLoad(random, options, false);
    for (SimRequest& request : load) request.priority = 0;
    const SimReport report = Simulate(load, options);
    // Large ones, and the others, each among themselves.
    for (const bool large : {false, true}) {
      std::vector<size_t> order;
      for (const size_t index : report.start_order) {
        if (IsLarge({load[index].tokens, 0}, options.limits) == large) order.push_back(index);
      }
      CHECK(std::is_sorted(order.begin(), order.end()));
    }
  }
}

TEST_CASE("batcher, overload: higher priorities without end do not keep one from its start") {
  SimOptions options;
  options.limits = {2, 8192, 1 << 20};
  options.per_row = 1e-5;
  // Two run at a time, for 20 ms; one comes every 8 ms, and one of them is ten priorities below.
  constexpr size_t kLow = 100;
  std::vector<SimRequest> load;
  for (int i = 0; i < 2000; ++i) load.push_back({0.008 * i, 128, 8, 8, 1, 5});
  load[kLow].priority = -5;
  const SimReport report = Simulate(load, options);
  const double waited = report.outcomes[kLow].started - load[kLow].arrival;
  CHECK(waited > 10);
  CHECK(waited < 15);
  // Those who came ten seconds later were behind it.
  CHECK(report.outcomes[kLow].started < report.outcomes[kLow + 1300].started);
}

TEST_CASE(
    "batcher, a long request in the mix: short ones are faster than if all stepped together") {
  std::mt19937_64 random(5);
  std::exponential_distribution<double> gap(20);
  SimOptions options;
  options.limits = {64, 65536, 1 << 30, 262144};
  options.base = 0.002;
  options.per_row = 2e-6;
  options.per_pair = 1.2e-9;
  std::vector<SimRequest> load;
  load.push_back({0, 65536, 64, 14, 0.3});
  for (double now = 0; now < 60; now += gap(random)) load.push_back({now, 512, 32, 32});
  std::vector<double> p99;
  std::vector<double> long_seconds;
  for (const double share : {1.0, 0.25}) {
    options.cost_share = share;
    const SimReport report = Simulate(load, options);
    std::vector<double> seconds;
    for (size_t i = 1; i < load.size(); ++i) {
      seconds.push_back(report.outcomes[i].ended - load[i].arrival);
    }
    std::sort(seconds.begin(), seconds.end());
    p99.push_back(seconds[seconds.size() * 99 / 100]);
    long_seconds.push_back(report.outcomes[0].ended);
  }
  CAPTURE(p99[0], p99[1], long_seconds[0], long_seconds[1]);
  CHECK(p99[1] < 0.25 * p99[0]);
  // It pays for that, but is not stopped.
  CHECK(long_seconds[1] < 4 * long_seconds[0]);
}

}  // namespace sparsed::server
