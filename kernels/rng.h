// Counter-based random numbers: a pure function of (seed, step, position, index, stream).
// Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011), Philox4x32-10.
#pragma once

#include <array>
#include <cstdint>

namespace sparsed::kernels {

using PhiloxBlock = std::array<uint32_t, 4>;

constexpr PhiloxBlock Philox4x32(PhiloxBlock counter, uint32_t key0, uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = uint64_t{0xD2511F53u} * counter[0];
    const uint64_t product1 = uint64_t{0xCD9E8D57u} * counter[2];
    counter = {
        static_cast<uint32_t>(product1 >> 32) ^ counter[1] ^ key0, static_cast<uint32_t>(product1),
        static_cast<uint32_t>(product0 >> 32) ^ counter[3] ^ key1, static_cast<uint32_t>(product0)};
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return counter;
}

// The last counter word keeps the uses of one (seed, step, position) apart.
enum class RandomStream : uint32_t {
  kGumbel = 0,      // a token's noise; index: half its id
  kConfidence = 1,  // a confidence at random
  kOrder = 2,       // which rows of a commit group are drawn; position: its place in the group
  kUnmask = 3,      // whether a position is committed at all
  kRecall = 4,      // which queries a recall is estimated of; position: the layer
  kBudgets = 5,     // which queries the budgets of the heads follow; position: the layer
};

// 128 random bits.
constexpr PhiloxBlock RandomBits(uint64_t seed, uint32_t step, uint32_t position, uint32_t index,
                                 RandomStream stream) {
  return Philox4x32({index, position, step, static_cast<uint32_t>(stream)},
                    static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32));
}

// Uniform in [0, 1), 24 bits.
constexpr float Uniform24(uint32_t bits) { return static_cast<float>(bits >> 8) * 0x1p-24f; }

// Uniform in the open interval (0, 1), 52 bits; both ends are excluded so that ln(-ln u) is finite.
constexpr double OpenUniform(uint32_t high, uint32_t low) {
  const uint64_t bits = (static_cast<uint64_t>(high) << 32 | low) >> 12;
  return (static_cast<double>(bits) + 0.5) * 0x1p-52;
}

}  // namespace sparsed::kernels
