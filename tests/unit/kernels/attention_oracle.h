// Attention and selection in double precision, the plain quadratic way: what the kernels must give.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/backend.h"

namespace sparsed::kernels {

// out[d] of one query (token of its sequence) and head; sequence.mode kFull or kFullSelect: all
// keys; kSparse: the keys of the kept blocks, 0 if none.
std::vector<double> OracleRow(const AttentionParams& params, const AttentionSequence& sequence,
                              int64_t token, int64_t head);

struct OracleImportance {
  std::vector<double> full;    // [H, nQ, nKV]
  std::vector<double> canvas;  // [H, nQ, nKV - first_canvas_block]
};

// Two separate softmaxes, as in the published code: over all keys, and over the canvas keys only.
OracleImportance OracleImportances(const AttentionParams& params,
                                   const AttentionSequence& sequence);

}  // namespace sparsed::kernels
