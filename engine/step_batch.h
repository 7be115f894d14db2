// One step's batch as the host lays it out: which rows of which pass go where, which of them want
// logits, and what competes with what. No device memory, no arithmetic.
// Next: models/transformer.h (the forward pass), decoding_schedule.h and sampler.h (the commits)
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "engine/decoding_schedule.h"
#include "engine/model.h"
#include "engine/sequence.h"

namespace sparsed::engine {

using SequenceId = uint64_t;

// One sequence's part of the batch.
struct BatchEntry {
  SequenceId id = 0;
  Sequence* sequence = nullptr;
  StepKind kind = StepKind::kFull;
  DecodingStep step;
  int32_t first_pass = 0;  // in `passes`; num_passes() of the sequence
  int32_t first_head_row = 0;
  int32_t first_sample = 0;  // its candidates in `samples`, in canvas order
  int32_t num_samples = 0;
  int32_t first_chosen = 0;  // its commits in the result of CommitRows
  int32_t num_chosen = 0;
};

// Consecutive head rows whose logits are computed and sampled together.
struct LogitChunk {
  int32_t first_head_row = 0;
  int32_t num_head_rows = 0;
  int32_t first_sample = 0;
  int32_t num_samples = 0;
};

struct StepBatch {
  std::vector<int32_t> ids;        // T packed rows, a gap before a pass where it must be aligned
  std::vector<int32_t> positions;  // T
  std::vector<PassPlan> passes;
  std::vector<int32_t> head_rows;  // R packed rows; a guided position has two in a row
  // The last layer's queries; see PackedBatch. query_rows and query_positions are empty where the
  // query rows are the packed rows.
  std::vector<kernels::QueryRange> ranges;
  std::vector<int32_t> query_rows;
  std::vector<int32_t> query_positions;
  std::vector<int32_t> head_query_rows;  // R
  int64_t num_query_rows = 0;
  std::vector<kernels::SampleRow> samples;  // rows count from the start of their chunk
  std::vector<int32_t> canvas_indices;      // of each sample
  std::vector<LogitChunk> chunks;
  std::vector<kernels::CommitGroup> groups;  // one for each entry
  std::vector<BatchEntry> entries;
  int32_t num_chosen = 0;
  bool has_targets = false;  // of some sample
};

// Packed rows that a pass of num_tokens takes.
int64_t AlignedRows(int64_t num_tokens, int32_t row_alignment);

// Lays out the next step of the unfinished sequences among `chosen` (ascending; empty: all), in the
// order of their ids. `batch` is overwritten: its vectors keep their memory from step to step. It
// borrows from the sequences.
void BuildStepBatch(std::map<SequenceId, Sequence>& sequences, const ModelInfo& model,
                    int32_t row_alignment, StepBatch& batch,
                    std::span<const SequenceId> chosen = {});

}  // namespace sparsed::engine
