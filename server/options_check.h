// The options of a request with every default filled in, or what is wrong with them. Pure.
// Next: engine/request.h
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/request.h"
#include "server/violations.h"
#include "sparsed/v1/generation.pb.h"

namespace sparsed::server {

inline constexpr uint32_t kDefaultGenLength = 128;
inline constexpr uint32_t kDefaultBlockLength = 32;
inline constexpr int kMaxStops = 16;
inline constexpr size_t kMaxStopBytes = 256;

// canvas_tokens: of gen_length or of the holes; 0 where that itself is wrong. has_targets: by
// default nothing is drawn or cut. default_seed: where the request names none.
engine::SamplingParams ReadSampling(const v1::SamplingOptions& options, int64_t canvas_tokens,
                                    bool has_targets, uint64_t default_seed,
                                    const engine::ModelInfo& model, Violations& violations);
v1::Remasking ToProto(engine::Remasking remasking);
engine::SparseParams ReadSparse(const v1::SparseOptions& options, Violations& violations);
// Stop strings are not for templates with holes, nor for tokens that are given.
std::vector<std::string> ReadStops(const v1::SamplingOptions& options, bool infill,
                                   bool has_targets, Violations& violations);

// The double that the shortest decimal form of `value` means: 0.3f gives 0.3. SparseD rounds
// products of these shares down, so that the float's own excess could add a step or a block.
double WidenDecimal(float value);

}  // namespace sparsed::server
