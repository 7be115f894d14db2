// The pattern of one query block, made beside its full attention.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cpu/aligned_floats.h"
#include "kernels/cpu/vector_ops.h"

namespace sparsed::kernels {

// The selection with the counts of one head as its own.
BlockSelection SelectionOfHead(const BlockSelection& selection, int64_t head);

// Writes one mask row by the rule of BlockSelection and its own counts, those of heads left aside:
// importance [nKV] over all columns, canvas_importance [nKV - first_canvas_block] over the canvas
// side, mask_row ceil(nKV / 64) words. `order` is scratch.
void SelectBlocks(const BlockSelection& selection, std::span<const float> importance,
                  std::span<const float> canvas_importance, uint64_t* mask_row,
                  std::vector<int32_t>& order);

// Sums the importances of one query block over its query tiles, then selects. One thread's scratch,
// used again for every block: Begin, AddTile after each tile's attention, Finish.
class BlockImportance {
 public:
  // Points the selection fields of `args` to this object's memory. scale: of the attention.
  void Begin(const AttentionSequence& sequence, float scale, AttendTileArgs& args);
  void AddTile(const VectorOps& ops, int rows);
  // Writes the mask row, and the importances where the sequence asks for them: as row `row` of
  // them.
  void Finish(const AttentionSequence& sequence, int64_t head, int64_t block, int64_t row);

 private:
  PanelMassArgs panels_;
  int64_t panels_per_block_ = 0;
  AlignedFloats floats_;  // panel_max, panel_sum, mass, canvas_mass
  std::vector<float> importance_;
  std::vector<float> canvas_importance_;
  std::vector<int32_t> order_;
};

}  // namespace sparsed::kernels
