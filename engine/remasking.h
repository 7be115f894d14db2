// Which masked positions a denoising step commits.
#pragma once

#include <cstdint>

namespace sparsed::engine {

// The first two are LLaDA's rules, the others Dream's.
enum class Remasking : uint8_t {
  kLowConfidence,  // the tokens of highest probability
  kRandom,         // positions at random
  kOrigin,         // each position with the same probability
  kMaskgitPlus,    // the tokens of highest probability, as they are drawn
  kTopkMargin,     // the largest lead over the runner-up
  kEntropy,        // the lowest entropy
};

// The rules of Dream's sampler; they have its schedule, too. See decoding_schedule.h.
constexpr bool IsDreamRule(Remasking remasking) {
  return remasking != Remasking::kLowConfidence && remasking != Remasking::kRandom;
}

// Whether positions are ranked by the probability of the token they would get.
constexpr bool RanksByProbability(Remasking remasking) {
  return remasking == Remasking::kLowConfidence || remasking == Remasking::kMaskgitPlus;
}

// As the published samplers call it.
constexpr const char* RemaskingName(Remasking remasking) {
  switch (remasking) {
    case Remasking::kLowConfidence:
      return "low_confidence";
    case Remasking::kRandom:
      return "random";
    case Remasking::kOrigin:
      return "origin";
    case Remasking::kMaskgitPlus:
      return "maskgit_plus";
    case Remasking::kTopkMargin:
      return "topk_margin";
    case Remasking::kEntropy:
      return "entropy";
  }
  return "";
}

}  // namespace sparsed::engine
