// Where the time of a step goes.
#pragma once

#include <cstdint>

namespace sparsed::engine {

// Seconds of the last step by part, for the benchmark and the metrics. The parts do not quite add
// up to total_seconds: the rest is the host's share.
struct StepTimes {
  double total_seconds = 0;
  double embed_seconds = 0;
  double norm_seconds = 0;
  double linear_seconds = 0;
  double rope_seconds = 0;
  double attention_seconds = 0;
  double activation_seconds = 0;
  double head_seconds = 0;
  double sample_seconds = 0;
  int64_t batch_tokens = 0;
};

}  // namespace sparsed::engine
