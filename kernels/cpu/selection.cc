#include "kernels/cpu/selection.h"

#include <algorithm>
#include <bit>
#include <numeric>

namespace sparsed::kernels {
namespace {

// The `keep` largest columns of `values` first in `order`, ties to the lower column. Importances
// are not negative, so their bits order as they do, and a NaN cannot break the order.
void RankColumns(std::span<const float> values, int32_t keep, std::vector<int32_t>& order) {
  order.resize(values.size());
  std::iota(order.begin(), order.end(), 0);
  if (static_cast<size_t>(keep) >= values.size()) return;
  std::nth_element(order.begin(), order.begin() + keep, order.end(),
                   [values](int32_t a, int32_t b) {
                     const uint32_t left = std::bit_cast<uint32_t>(values[static_cast<size_t>(a)]);
                     const uint32_t right = std::bit_cast<uint32_t>(values[static_cast<size_t>(b)]);
                     return left != right ? left > right : a < b;
                   });
}

void SetBit(uint64_t* row, int32_t column) { row[column / 64] |= uint64_t{1} << (column % 64); }

}  // namespace

BlockSelection SelectionOfHead(const BlockSelection& selection, int64_t head) {
  BlockSelection own = selection;
  if (selection.head_counts != nullptr) {
    own.keep_prompt = selection.head_counts[2 * head];
    own.keep_canvas = selection.head_counts[2 * head + 1];
  }
  return own;
}

void SelectBlocks(const BlockSelection& selection, std::span<const float> importance,
                  std::span<const float> canvas_importance, uint64_t* mask_row,
                  std::vector<int32_t>& order) {
  std::fill_n(mask_row, (importance.size() + 63) / 64, 0);
  RankColumns(importance, selection.keep_prompt, order);
  for (int32_t i = 0; i < selection.keep_prompt; ++i) {
    const int32_t column = order[static_cast<size_t>(i)];
    if (column < selection.first_canvas_block) SetBit(mask_row, column);
  }
  RankColumns(canvas_importance, selection.keep_canvas, order);
  for (int32_t i = 0; i < selection.keep_canvas; ++i) {
    SetBit(mask_row, selection.first_canvas_block + order[static_cast<size_t>(i)]);
  }
}

void BlockImportance::Begin(const AttentionSequence& sequence, float scale, AttendTileArgs& args) {
  const BlockSelection& selection = sequence.selection;
  const int64_t panels = args.num_panels;
  const int64_t blocks = sequence.mask.num_blocks;
  panels_per_block_ = sequence.mask.block_size / kPanelKeys;
  float* floats = floats_.Reserve(static_cast<size_t>(2 * panels * (kQueryRows + 1)));
  args.panel_max = floats;
  args.panel_sum = args.panel_max + panels * kQueryRows;
  args.select_ratio = selection.scale == scale ? 1.0f : selection.scale / scale;
  panels_.panel_max = args.panel_max;
  panels_.panel_sum = args.panel_sum;
  panels_.num_panels = panels;
  panels_.first_canvas_panel = selection.first_canvas_block * panels_per_block_;
  panels_.mass = args.panel_sum + panels * kQueryRows;
  panels_.canvas_mass = panels_.mass + panels;
  importance_.assign(static_cast<size_t>(blocks), 0.0f);
  canvas_importance_.assign(static_cast<size_t>(blocks - selection.first_canvas_block), 0.0f);
}

void BlockImportance::AddTile(const VectorOps& ops, int rows) {
  panels_.rows = rows;
  ops.panel_mass(panels_);
  for (int64_t panel = 0; panel < panels_.num_panels; ++panel) {
    importance_[static_cast<size_t>(panel / panels_per_block_)] += panels_.mass[panel];
  }
  const int64_t canvas_panels = panels_.num_panels - panels_.first_canvas_panel;
  for (int64_t panel = 0; panel < canvas_panels; ++panel) {
    canvas_importance_[static_cast<size_t>(panel / panels_per_block_)] +=
        panels_.canvas_mass[panel];
  }
}

void BlockImportance::Finish(const AttentionSequence& sequence, int64_t head, int64_t block,
                             int64_t row) {
  const float size = static_cast<float>(sequence.mask.block_size);
  const auto finish = [&](std::vector<float>& values, float* copy) {
    for (float& value : values) value /= size * size;
    if (copy != nullptr) {
      std::copy(values.begin(), values.end(), copy + row * static_cast<int64_t>(values.size()));
    }
  };
  finish(importance_, sequence.selection.importance);
  finish(canvas_importance_, sequence.selection.canvas_importance);
  SelectBlocks(SelectionOfHead(sequence.selection, head), importance_, canvas_importance_,
               sequence.mask.Row(head, block), order_);
}

}  // namespace sparsed::kernels
