// Attention over a packed batch: full, full with selection, and block-sparse, by one walk.
// Next: vector_attention.inc (one query tile), selection.h (the pattern).
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "kernels/backend.h"
#include "kernels/cpu/aligned_floats.h"
#include "kernels/cpu/selection.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/cpu/vector_ops.h"

namespace sparsed::kernels {

// Keys and values are first copied into panels of kPanelKeys keys, one contiguous run a head. A
// task is then one (sequence, head, block of queries). All modes walk a list of panels; full
// attention is the list of all of them, so a mask that keeps everything gives the same bits.
// Owns scratch that grows with the packed keys: 2 T Hkv D floats, and 2 N floats a thread where a
// sequence of N tokens selects.
class AttentionRunner {
 public:
  // Errors: INVALID_ARGUMENT.
  absl::Status Run(const AttentionParams& params, const VectorOps& ops, ThreadPool& pool);

 private:
  // Where one sequence stands in the panels and in the tasks.
  struct Plan {
    int64_t num_panels = 0;
    int64_t first_panel = 0;  // of key head 0; heads follow one another
    int64_t block_rows = 0;   // queries of one task
    int64_t first_block = 0;  // of the queries asked for
    int64_t num_blocks = 0;   // of them, a head
    int64_t first_task = 0;
  };
  struct Place {
    size_t sequence = 0;
    int64_t head = 0;
    int64_t block = 0;  // of the sequence
  };
  struct ThreadScratch {
    AlignedFloats tile;
    std::vector<int32_t> kept;
    BlockImportance importance;
  };

  void MakePlans(const AttentionParams& params);
  void PackPanels(const AttentionParams& params, ThreadPool& pool);
  Place Locate(int64_t task) const;
  AttendTileArgs TileArgs(const AttentionParams& params, const Place& place,
                          ThreadScratch& scratch) const;
  void RunTask(const AttentionParams& params, const VectorOps& ops, const Place& place,
               ThreadScratch& scratch) const;

  std::vector<Plan> plans_;
  std::vector<size_t> packed_;  // sequences with panels of their own: a repeated one has none
  int64_t total_panels_ = 0;
  int64_t total_tasks_ = 0;
  AlignedFloats panels_;
  std::vector<ThreadScratch> scratch_;
};

}  // namespace sparsed::kernels
