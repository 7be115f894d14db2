// Where and when a measurement was made.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

namespace sparsed::bench {

struct Machine {
  std::string cpu;      // model name
  int cores = 0;        // online
  double load = 0;      // average of the last minute, before the measurement
  std::string system;   // kernel and compiler
  std::string version;  // of this program
  std::string commit;   // empty where it was not built from a repository
  std::string date;     // UTC, ISO 8601
};

Machine DescribeMachine();
nlohmann::ordered_json ToJson(const Machine& machine);
// Largest resident memory of this process so far.
uint64_t PeakResidentBytes();

}  // namespace sparsed::bench
