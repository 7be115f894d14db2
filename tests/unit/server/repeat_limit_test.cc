#include "server/repeat_limit.h"

#include <chrono>

#include "tests/testing/catch.h"

namespace sparsed::server {
namespace {

using std::chrono::milliseconds;

// So many lines of an event at once; how many of them are written.
int Written(RepeatLimit& limit, const std::string& event, int lines, TimePoint now) {
  int written = 0;
  for (int i = 0; i < lines; ++i) written += limit.Pass(event, now).has_value() ? 1 : 0;
  return written;
}

}  // namespace

TEST_CASE("repeat limit: ten lines of one event in a second; the next line tells of the others") {
  RepeatLimit limit;
  const TimePoint start{milliseconds(5000)};
  CHECK(Written(limit, "a", 7, start) == 7);
  CHECK(Written(limit, "a", 8, start + milliseconds(400)) == 3);
  CHECK(Written(limit, "a", 1, start + milliseconds(999)) == 0);
  // Another event is another matter.
  CHECK(limit.Pass("b", start + milliseconds(999)) == 0);
  CHECK(limit.Pass("a", start + milliseconds(1000)) == 6);
  CHECK(limit.Pass("a", start + milliseconds(1000)) == 0);
  // The second is counted from its own first line.
  CHECK(Written(limit, "a", 20, start + milliseconds(1900)) == 8);
}

TEST_CASE("repeat limit: what was left out is told once, also where no line follows") {
  RepeatLimit limit;
  const TimePoint start{};
  CHECK(limit.TakeSuppressed(start).empty());
  CHECK(Written(limit, "a", 15, start) == 10);
  CHECK(Written(limit, "b", 10, start) == 10);
  CHECK(limit.TakeSuppressed(start + milliseconds(999)).empty());
  const auto told = limit.TakeSuppressed(start + milliseconds(1000));
  REQUIRE(told.size() == 1);
  CHECK(told[0].first == "a");
  CHECK(told[0].second == 5);
  CHECK(limit.TakeSuppressed(start + milliseconds(1500)).empty());
  CHECK(limit.Pass("a", start + milliseconds(1500)) == 0);
  CHECK(Written(limit, "a", 12, start + milliseconds(1500)) == 9);
}

}  // namespace sparsed::server
