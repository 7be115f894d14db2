// The held-out evaluation set: prompts with exact answers.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace sparsed::clients {

// How a prediction is compared with the answer; see eval_check.h.
enum class Checker { kExact, kList, kSet };

struct EvalExample {
  std::string id;
  std::string task;
  uint32_t length = 0;      // nominal tokens of prompt and canvas; groups the results
  uint32_t gen_length = 0;  // canvas tokens
  std::vector<uint32_t> prompt_ids;
  std::string answer;
  Checker checker = Checker::kExact;
};

struct EvalData {
  std::vector<EvalExample> examples;  // in the order of the file
  std::string crc32;                  // of the uncompressed file, eight hex digits
};

// Reads a JSON-lines file, gzip-compressed or not.
// Errors: NOT_FOUND (no such file), INVALID_ARGUMENT (file, line and field; an id that comes
// twice).
absl::StatusOr<EvalData> LoadEvalData(const std::string& path);

// Which examples are run: those of the named tasks and lengths (empty: all), the first `limit` of
// every task and length (0: all). Indices into `examples`, ascending.
struct EvalSelection {
  std::vector<std::string> tasks;
  std::vector<uint32_t> lengths;
  uint32_t limit = 0;
};
std::vector<size_t> Select(const std::vector<EvalExample>& examples,
                           const EvalSelection& selection);

}  // namespace sparsed::clients
