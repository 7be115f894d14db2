// What a load test sends, and when. Pure but for reading the file of the mix.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "sparsed/v1/generation.pb.h"

namespace sparsed::clients {

// One kind of request in a mix.
struct LoadKind {
  std::string name;
  double weight = 1;  // its share among all kinds
  uint32_t prompt_tokens = 64;
  uint32_t gen_length = 32;
  uint32_t steps = 16;
  v1::SparseMode sparse = v1::SPARSE_MODE_UNSPECIFIED;  // the server's default
  int32_t priority = 0;
};

// Reads a JSON-lines file, one kind a line: "name", "weight", "prompt_tokens", "gen_length",
// "steps", "sparse" (auto, off, sparsed), "priority"; what is left out is as in LoadKind, a name as
// "<prompt_tokens>+<gen_length>". Errors: NOT_FOUND; INVALID_ARGUMENT with file, line and field,
// also for a key that is not known.
absl::StatusOr<std::vector<LoadKind>> LoadMix(const std::string& path);
// The same of text; `path` is for the messages.
absl::StatusOr<std::vector<LoadKind>> ParseMix(const std::string& text, const std::string& path);

enum class Arrivals { kPoisson, kFixed };

struct LoadArrival {
  double at = 0;    // seconds after the start
  size_t kind = 0;  // index into the mix
};

// `rate` arrivals a second on average for `seconds`, ascending. kFixed: at equal distances, the
// first at 0; kPoisson: independent of one another. Same seed, same schedule.
std::vector<LoadArrival> MakeSchedule(double rate, double seconds, Arrivals arrivals,
                                      const std::vector<LoadKind>& mix, uint64_t seed);

}  // namespace sparsed::clients
