#include "server/batcher.h"

#include "tests/testing/catch.h"

namespace sparsed::server {
namespace {

using std::chrono::seconds;

constexpr Limits kLimits = {4, 100, 1000};
const TimePoint kNow = TimePoint(seconds(1000));

Waiting MakeWaiting(uint64_t number, int32_t priority = 0, int waited_seconds = 0,
                    int64_t tokens = 10, int64_t mask_bytes = 0) {
  Waiting waiting;
  waiting.number = number;
  waiting.priority = priority;
  waiting.arrival = kNow - seconds(waited_seconds);
  waiting.deadline = kNow + seconds(60);
  waiting.need = {tokens, mask_bytes};
  return waiting;
}

using Numbers = std::vector<uint64_t>;

}  // namespace

TEST_CASE("batcher: higher priority first, then arrival") {
  const Admission admission =
      Admit({MakeWaiting(1), MakeWaiting(2, 5), MakeWaiting(3), MakeWaiting(4, 5)}, {}, {}, kLimits,
            kNow);
  CHECK(admission.start == Numbers{2, 4, 1, 3});
}

TEST_CASE("batcher: a second of waiting is worth one of priority") {
  CHECK(Admit({MakeWaiting(1, 0, 6), MakeWaiting(2, 5, 0)}, {}, {}, kLimits, kNow).start ==
        Numbers{1, 2});
  CHECK(Admit({MakeWaiting(1, 0, 4), MakeWaiting(2, 5, 0)}, {}, {}, kLimits, kNow).start ==
        Numbers{2, 1});
}

TEST_CASE("batcher: no priority is beyond the reach of waiting") {
  const int32_t huge = std::numeric_limits<int32_t>::max();
  CHECK(Admit({MakeWaiting(1, -huge, 201), MakeWaiting(2, huge, 0)}, {}, {}, kLimits, kNow).start ==
        Numbers{1, 2});
}

TEST_CASE("batcher: each limit holds, with what runs already") {
  const std::vector<Waiting> three = {MakeWaiting(1, 0, 0, 40, 400), MakeWaiting(2, 0, 0, 40, 400),
                                      MakeWaiting(3, 0, 0, 40, 400)};
  CHECK(Admit(three, {}, {}, {4, 200, 2000}, kNow).start == Numbers{1, 2, 3});
  CHECK(Admit(three, {}, {}, {2, 200, 2000}, kNow).start == Numbers{1, 2});
  CHECK(Admit(three, {0, 120, 0}, {}, {4, 200, 2000}, kNow).start == Numbers{1, 2});
  CHECK(Admit(three, {0, 121, 0}, {}, {4, 200, 2000}, kNow).start == Numbers{1});
  CHECK(Admit(three, {}, {}, {4, 200, 800}, kNow).start == Numbers{1, 2});
  CHECK(Admit(three, {3, 0, 0}, {}, {4, 200, 2000}, kNow).start == Numbers{1});
  CHECK(Admit(three, {0, 161, 0}, {}, {4, 200, 2000}, kNow).start.empty());
  CHECK(Admit(three, {0, 0, 1601}, {}, {4, 200, 2000}, kNow).start.empty());
}

TEST_CASE("batcher: nothing overtakes a request that does not fit yet") {
  const Admission admission =
      Admit({MakeWaiting(1, 0, 2, 90), MakeWaiting(2, 0, 1, 10)}, {1, 20, 0}, {}, kLimits, kNow);
  CHECK(admission.start.empty());
}

TEST_CASE("batcher: large requests leave a quarter to the others, who overtake them") {
  const Limits limits = {100, 100, 1000, 200};
  const std::vector<Waiting> waiting = {MakeWaiting(1, 0, 9, 60), MakeWaiting(2, 0, 8, 60),
                                        MakeWaiting(3, 0, 7, 60), MakeWaiting(4, 0, 6, 20),
                                        MakeWaiting(5, 0, 5, 30), MakeWaiting(6, 0, 4, 20)};
  // Two of 60 are within 150 of the 200, the third is not; nor may the smaller large one pass it.
  CHECK(Admit(waiting, {}, {}, limits, kNow).start == Numbers{1, 2, 4, 6});
  // Held by large ones already.
  CHECK(Admit(waiting, {2, 100, 0}, {2, 100, 0}, limits, kNow).start == Numbers{4, 6});
  // Held by others, the large ones wait for no other large one, and nothing overtakes.
  CHECK(Admit(waiting, {9, 150, 0}, {}, limits, kNow).start.empty());
}

TEST_CASE("batcher: one large request may always run, whatever a quarter is") {
  const Limits limits = {1, 100, 1000, 100};
  CHECK(Admit({MakeWaiting(1, 0, 0, 100, 1000)}, {}, {}, limits, kNow).start == Numbers{1});
}

TEST_CASE("batcher: large requests leave places and pattern memory, too") {
  CHECK(Admit({MakeWaiting(1, 0, 0, 30), MakeWaiting(2)}, {3, 90, 0}, {3, 90, 0},
              {4, 100, 1000, 4000}, kNow)
            .start == Numbers{2});
  CHECK(Admit({MakeWaiting(1, 0, 0, 30, 300), MakeWaiting(2, 0, 0, 10, 300)}, {1, 30, 500},
              {1, 30, 500}, {4, 100, 1000, 4000}, kNow)
            .start == Numbers{2});
}

TEST_CASE("batcher: more may run than fits into one step") {
  const std::vector<Waiting> three = {MakeWaiting(1, 0, 0, 25), MakeWaiting(2, 0, 0, 25),
                                      MakeWaiting(3, 0, 0, 25)};
  CHECK(Admit(three, {4, 90, 0}, {}, {9, 100, 1000}, kNow).start.empty());
  CHECK(Admit(three, {4, 90, 0}, {}, {9, 100, 1000, 150}, kNow).start == Numbers{1, 2});
}

TEST_CASE("batcher: what could not end in time any more is not started") {
  Waiting late = MakeWaiting(1);
  late.least_seconds = 60.5;
  Waiting just = MakeWaiting(2);
  just.least_seconds = 59.5;
  const Admission admission = Admit({late, just}, {}, {}, kLimits, kNow);
  CHECK(admission.too_late == Numbers{1});
  CHECK(admission.start == Numbers{2});
}

TEST_CASE("batcher: expired and cancelled requests leave without taking room") {
  Waiting expired = MakeWaiting(1, 9, 9, 100);
  expired.deadline = kNow;
  Waiting cancelled = MakeWaiting(2, 9, 9, 100);
  cancelled.cancelled = true;
  const Admission admission =
      Admit({expired, cancelled, MakeWaiting(3, 0, 0, 100)}, {}, {}, kLimits, kNow);
  CHECK(admission.expired == Numbers{1});
  CHECK(admission.cancelled == Numbers{2});
  CHECK(admission.start == Numbers{3});
}

TEST_CASE("batcher: what can never fit is refused with limit and need") {
  CHECK_FALSE(CheckFits({100, 1000}, kLimits).has_value());
  const std::optional<Failure> tokens = CheckFits({101, 0}, kLimits);
  REQUIRE(tokens.has_value());
  CHECK(tokens->code() == grpc::StatusCode::RESOURCE_EXHAUSTED);
  CHECK(tokens->status.message() ==
        "the request needs 101 of max_batch_tokens; the server's limit is 100");
  CHECK(tokens->pushback_ms == -1);
  CHECK(CheckFits({1, 1001}, kLimits).has_value());
}

}  // namespace sparsed::server
