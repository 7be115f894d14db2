// How sure a sampled row is of its token: what ranks the rows of a step. Plain, for host and
// device.
#pragma once

#include <cstdint>

namespace sparsed::kernels {

// p: the distribution that the token is drawn from, that is the softmax of the logits that pass
// top_p and top_k, divided by the temperature where that is above 0.
enum class ConfidenceRule : uint8_t {
  kProbability,         // softmax of the noise-free, untempered, unfiltered logits at the token
  kRandom,              // uniform in [0, 1) from (seed, step, position)
  kSampledProbability,  // p of the token
  kMargin,              // the largest p less the second largest
  kNegativeEntropy,     // sum of p ln(p + 1e-10)
};

}  // namespace sparsed::kernels
