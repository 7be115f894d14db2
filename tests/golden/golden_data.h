// The goldens of nano, and an engine to compare with them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/engine.h"
#include "tests/golden/recording_backend.h"

namespace sparsed::testing {

struct GoldenRun {
  int32_t steps = 0;
  bool sparse = false;  // SparseD, rho 0.3, block size 32; else full
  int32_t block_size = 0;
  // Per step the (canvas index, token) pairs committed, most confident first.
  std::vector<std::vector<std::pair<int32_t, int32_t>>> trajectory;
  std::vector<int32_t> output_ids;
  // [layer][head][query block]: a '0' or '1' for every key block. Empty for full runs.
  std::vector<std::vector<std::vector<std::string>>> block_mask;
};

struct GoldenCase {
  std::string task;
  std::vector<int32_t> prompt_ids;
  int32_t gen_length = 0;
  int32_t block_length = 0;
  // Of the first step, for every canvas position: the 32 largest logits, with their ids.
  std::vector<std::vector<int32_t>> top_ids;
  std::vector<std::vector<float>> top_logits;
  std::vector<float> logsumexp;
  std::vector<GoldenRun> runs;
};

// All cases of tests/golden/nano/golden.json.gz.
std::vector<GoldenCase> ReadGoldenCases();

// The request of a run: greedy, nothing stopped early.
engine::Request RequestFor(const std::vector<int32_t>& prompt_ids, int32_t gen_length,
                           int32_t steps, bool sparse);

// deploy/models/nano on `backend`. Where `recording` is given, it is filled step by step.
std::unique_ptr<engine::Engine> MakeNanoEngine(std::unique_ptr<kernels::Backend> backend,
                                               int64_t max_batch_tokens, Recording* recording);
// On all cores of the processor.
std::unique_ptr<engine::Engine> MakeNanoEngine(int64_t max_batch_tokens, Recording* recording);

// A path in the repository.
std::string RepositoryPath(const std::string& relative);

}  // namespace sparsed::testing
