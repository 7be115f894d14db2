// What the command line asks for.
// Next: step_bench.h, attention_bench.h, generate_bench.h
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/request.h"
#include "kernels/backend.h"

namespace sparsed::bench {

struct Options {
  std::string device = "cpu";
  std::string model;              // a checkpoint folder or synthetic:SHAPE
  std::vector<int32_t> contexts;  // prompt and canvas together, each measured in turn
  engine::SparseParams sparse;    // `step` and `attention` take mode, select and block_size
  int32_t gen_length = 0;         // 0: the largest of 128, 64, ... that is at most half the context
  int32_t block_length = 0;       // 0: 32, or gen_length where that is less
  int32_t steps = 0;              // 0: gen_length / 2
  int32_t batch = 1;
  int threads = 0;  // 0: all cores
  kernels::WeightType weights = kernels::WeightType::kFull;
  int32_t repeat = 0;  // 0: the command's default
  std::vector<double> densities = {0.1, 0.2, 0.3, 0.5, 1.0};
  std::vector<int32_t> prompt_ids;  // empty: random ids
  uint64_t seed = 1;
  std::string json_path;
};

}  // namespace sparsed::bench
