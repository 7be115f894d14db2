// Keeps one event from filling the log: of what repeats only so many lines a second are written,
// the others are counted.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "server/clock.h"

namespace sparsed::server {

// Not thread-safe. Holds an entry for each event there is: they must be few.
class RepeatLimit {
 public:
  static constexpr int64_t kMost = 10;  // lines of one event in a second, counted from its first

  // Nothing where this line is not to be written. Otherwise how many before it were not and have
  // not been told.
  std::optional<int64_t> Pass(const std::string& event, TimePoint now);
  // How many lines of which events were not written, of those whose second is over. Tells each
  // once.
  std::vector<std::pair<std::string, int64_t>> TakeSuppressed(TimePoint now);

 private:
  struct Second {
    TimePoint begun;
    int64_t written = 0;
    int64_t suppressed = 0;
  };
  std::map<std::string, Second> seconds_;  // the latest one, by event
};

}  // namespace sparsed::server
