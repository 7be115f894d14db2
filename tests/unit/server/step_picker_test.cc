#include "server/step_picker.h"

#include <algorithm>

#include "tests/testing/catch.h"

namespace sparsed::server {
namespace {

using Ids = std::vector<engine::SequenceId>;
constexpr int64_t kManyRows = 1 << 30;

Runner MakeRunner(engine::SequenceId id, double marginal, int64_t rows = 1) {
  return {id, rows, marginal};
}

// Seconds of steps of each, and how often each took part, over many turns.
struct Shares {
  std::map<engine::SequenceId, int> steps;
  double seconds = 0;
};
Shares Play(StepPicker& picker, const std::vector<Runner>& running, double base, int turns) {
  Shares shares;
  for (int turn = 0; turn < turns; ++turn) {
    shares.seconds += base;
    for (const engine::SequenceId id : picker.Pick(running, base)) {
      ++shares.steps[id];
      for (const Runner& one : running) shares.seconds += one.id == id ? one.marginal : 0;
    }
  }
  return shares;
}

}  // namespace

TEST_CASE("picker: alone or among its like, everybody takes part in every step") {
  StepPicker picker(kManyRows, 0.25);
  CHECK(picker.Pick({}, 0.1).empty());
  for (int turn = 0; turn < 50; ++turn) {
    CHECK(picker.Pick({MakeRunner(1, 7)}, 0.1) == Ids{1});
  }
  const std::vector<Runner> alike = {MakeRunner(1, 1), MakeRunner(2, 3.9), MakeRunner(5, 2)};
  for (int turn = 0; turn < 50; ++turn) CHECK(picker.Pick(alike, 0) == Ids{1, 2, 5});
}

TEST_CASE("picker: the short ones step several times between two steps of a long one") {
  StepPicker picker(kManyRows, 0.25);
  std::vector<Runner> running = {MakeRunner(1, 100)};
  for (engine::SequenceId id = 2; id <= 8; ++id) running.push_back(MakeRunner(id, 1));
  // The long one need not earn its first step.
  CHECK(picker.Pick(running, 0).size() == 8);
  const Shares shares = Play(picker, running, 0, 10000);
  CHECK(shares.steps.at(2) == 10000);
  // It is due a quarter of the time by cost, 100/107, and of the rest an eighth.
  const double share = 0.25 * 100 / 107 + 0.75 / 8;
  CHECK(shares.steps.at(1) * 100 == Approx(share * shares.seconds).epsilon(0.01));
  CHECK(shares.steps.at(1) < 10000 / 20);
}

TEST_CASE("picker: a long one keeps a quarter of the speed it had if all stepped together") {
  StepPicker picker(kManyRows, 0.25);
  std::vector<Runner> running = {MakeRunner(1, 100)};
  for (engine::SequenceId id = 2; id <= 200; ++id) running.push_back(MakeRunner(id, 1));
  const Shares shares = Play(picker, running, 0, 2000);
  const double together = shares.seconds / (100 + 199);
  CHECK(shares.steps.at(1) > 0.25 * together);
  CHECK(shares.steps.at(1) < 0.35 * together);
}

TEST_CASE("picker: a share of one means that all take part in every step") {
  StepPicker picker(kManyRows, 1);
  const std::vector<Runner> running = {MakeRunner(1, 1000), MakeRunner(2, 1), MakeRunner(3, 30)};
  for (int turn = 0; turn < 50; ++turn) CHECK(picker.Pick(running, 0) == Ids{1, 2, 3});
}

TEST_CASE("picker: what a step costs anyway is worth sharing") {
  StepPicker picker(kManyRows, 0.25);
  const std::vector<Runner> running = {MakeRunner(1, 20), MakeRunner(2, 1)};
  for (int turn = 0; turn < 50; ++turn) CHECK(picker.Pick(running, 5) == Ids{1, 2});
}

TEST_CASE("picker: of two long ones that began together only one is in a step") {
  StepPicker picker(kManyRows, 0.25);
  const std::vector<Runner> running = {MakeRunner(1, 100), MakeRunner(2, 100), MakeRunner(3, 1)};
  std::map<engine::SequenceId, int> steps;
  for (int turn = 0; turn < 2000; ++turn) {
    const Ids ids = picker.Pick(running, 0);
    CHECK(std::count_if(ids.begin(), ids.end(), [](auto id) { return id < 3; }) <= 1);
    for (const engine::SequenceId id : ids) ++steps[id];
  }
  CHECK(steps[3] == 2000);
  CHECK(std::abs(steps[1] - steps[2]) <= 1);
  CHECK(steps[1] > 10);
}

TEST_CASE("picker: long ones share a step where the short ones cost as much") {
  StepPicker picker(kManyRows, 0.25);
  std::vector<Runner> running;
  for (engine::SequenceId id = 1; id <= 20; ++id) running.push_back(MakeRunner(id, 5));
  for (engine::SequenceId id = 21; id <= 83; ++id) running.push_back(MakeRunner(id, 1));
  const Ids ids = picker.Pick(running, 0);
  // 12 of cost 5 are not more than 63 of cost 1.
  CHECK(ids.size() == 63 + 12);
  CHECK(ids.front() == 1);
  CHECK(ids[11] == 12);
}

TEST_CASE("picker: what adds little to a step comes along, each in its turn") {
  StepPicker picker(kManyRows, 0.25);
  std::vector<Runner> running;
  for (engine::SequenceId id = 1; id <= 20; ++id) running.push_back(MakeRunner(id, 1));
  running.push_back(MakeRunner(21, 6));
  for (int turn = 0; turn < 20; ++turn) CHECK(picker.Pick(running, 0).size() == 21);
  running.push_back(MakeRunner(22, 6));
  picker.Pick(running, 0);
  std::map<engine::SequenceId, int> steps;
  for (int turn = 0; turn < 300; ++turn) {
    const Ids ids = picker.Pick(running, 0);
    CHECK(ids.size() >= 21);
    for (const engine::SequenceId id : ids) ++steps[id];
  }
  CHECK(steps[20] == 300);
  CHECK(std::abs(steps[21] - steps[22]) <= 1);
}

TEST_CASE("picker: a newcomer is in the next step, however long others have waited") {
  StepPicker picker(kManyRows, 0.25);
  std::vector<Runner> running = {MakeRunner(1, 1), MakeRunner(2, 500)};
  for (int turn = 0; turn < 20; ++turn) picker.Pick(running, 0);
  running.push_back(MakeRunner(3, 1));
  const Ids ids = picker.Pick(running, 0);
  CHECK(std::count(ids.begin(), ids.end(), 3) == 1);
}

TEST_CASE("picker: a stream of newcomers that take one step each starves nobody") {
  StepPicker picker(kManyRows, 0.25);
  int steps_of_long = 0;
  double seconds = 0;
  for (engine::SequenceId turn = 0; turn < 5000; ++turn) {
    const std::vector<Runner> running = {MakeRunner(1, 100), MakeRunner(turn + 2, 1)};
    for (const engine::SequenceId id : picker.Pick(running, 0)) {
      steps_of_long += id == 1 ? 1 : 0;
      seconds += id == 1 ? 100 : 1;
    }
  }
  CHECK(steps_of_long * 100 > 0.5 * seconds);
}

TEST_CASE("picker: a step's rows are never exceeded and those who waited longest go first") {
  StepPicker picker(100, 0.25);
  const std::vector<Runner> running = {MakeRunner(1, 1, 40), MakeRunner(2, 1, 40),
                                       MakeRunner(3, 1, 40), MakeRunner(4, 1, 40)};
  CHECK(picker.Pick(running, 0) == Ids{1, 2});
  CHECK(picker.Pick(running, 0) == Ids{3, 4});
  CHECK(picker.Pick(running, 0) == Ids{1, 2});
}

TEST_CASE("picker: a long one that fills a step has it for itself, and gives it back") {
  StepPicker picker(100, 0.25);
  const std::vector<Runner> running = {MakeRunner(1, 50, 100), MakeRunner(2, 1, 10),
                                       MakeRunner(3, 1, 10)};
  CHECK(picker.Pick(running, 0) == Ids{1});
  const Shares shares = Play(picker, running, 0, 3000);
  CHECK(shares.steps.at(2) == shares.steps.at(3));
  const double share = 0.25 * 50 / 52 + 0.75 / 3;
  CHECK(shares.steps.at(1) * 50 == Approx(share * shares.seconds).epsilon(0.02));
}

TEST_CASE("picker: costs that all are zero, and costs that change, are no trouble") {
  StepPicker picker(kManyRows, 0.25);
  const std::vector<Runner> free = {MakeRunner(1, 0), MakeRunner(2, 0)};
  for (int turn = 0; turn < 10; ++turn) CHECK(picker.Pick(free, 0) == Ids{1, 2});
  // From full to sparse: the credit saved for a dear step buys no more than two cheap ones.
  for (int turn = 0; turn < 10; ++turn) {
    picker.Pick({MakeRunner(1, 1), MakeRunner(2, 1000)}, 0);
  }
  int steps = 0;
  for (int turn = 0; turn < 20; ++turn) {
    steps += static_cast<int>(picker.Pick({MakeRunner(1, 1), MakeRunner(2, 50)}, 0).size()) - 1;
  }
  // Saved for 2, and with a share of 0.62 it earns 3 in the seconds that 20 turns and these take.
  CHECK(steps <= 5);
}

}  // namespace sparsed::server
