#include "clients/cpp/canvas.h"

#include <algorithm>
#include <utility>

#include "clients/cpp/text_cells.h"

namespace sparsed::clients {
namespace {

using Cells = std::vector<Cell>;

bool SameText(const Cell& a, const Cell& b) { return a.text == b.text; }

// Splits at mask glyphs; n glyphs make n + 1 pieces.
std::vector<Cells> SplitAtMasks(const std::string& text, double now) {
  std::vector<Cells> gaps(1);
  for (std::string& piece : CodePoints(text)) {
    if (piece == kMaskGlyph) {
      gaps.emplace_back();
    } else {
      gaps.back().push_back({std::move(piece), false, now});
    }
  }
  return gaps;
}

// Gives the cells of `gap` that stood in `olds` (pieces in order, new tokens between them) the
// times they had there. The first piece stands at the beginning and the last at the end.
void KeepTimes(const std::vector<const Cells*>& olds, Cells* gap) {
  size_t from = 0;
  for (size_t i = 0; i < olds.size(); ++i) {
    const Cells& old = *olds[i];
    if (old.empty()) continue;
    if (old.size() > gap->size()) return;
    auto found = gap->end();
    if (i == 0) {
      found = std::equal(old.begin(), old.end(), gap->begin(), SameText) ? gap->begin() : found;
    } else if (i + 1 == olds.size()) {
      const auto tail = gap->end() - static_cast<std::ptrdiff_t>(old.size());
      found = std::equal(old.begin(), old.end(), tail, SameText) ? tail : found;
    } else {
      found = std::search(gap->begin() + static_cast<std::ptrdiff_t>(from), gap->end(), old.begin(),
                          old.end(), SameText);
    }
    if (found == gap->end()) continue;
    for (size_t c = 0; c < old.size(); ++c, ++found) found->committed_at = old[c].committed_at;
    from = static_cast<size_t>(found - gap->begin());
  }
}

}  // namespace

void Canvas::Update(const v1::Frame& frame, uint32_t mask_id, double now) {
  std::vector<uint32_t> masks;
  for (int i = 0; i < frame.token_ids_size(); ++i) {
    if (frame.token_ids(i) == mask_id) masks.push_back(static_cast<uint32_t>(i));
  }
  std::vector<Gap> gaps = SplitAtMasks(frame.text(), now);
  if (gaps.size() != masks.size() + 1) {
    gaps.assign(1, {});
    for (std::string& piece : CodePoints(frame.text())) {
      const bool mask = piece == kMaskGlyph;
      gaps[0].push_back({std::move(piece), mask, kLongAgo});
    }
    masks_.clear();
    gaps_ = std::move(gaps);
    matched_ = false;
    return;
  }
  if (matched_ && std::includes(masks_.begin(), masks_.end(), masks.begin(), masks.end())) {
    size_t old = 0;
    for (size_t i = 0; i < gaps.size(); ++i) {
      std::vector<const Gap*> olds = {&gaps_[old]};
      const bool last = i == masks.size();
      while (old < masks_.size() && (last || masks_[old] != masks[i])) {
        olds.push_back(&gaps_[++old]);
      }
      ++old;
      KeepTimes(olds, &gaps[i]);
    }
  }
  masks_ = std::move(masks);
  gaps_ = std::move(gaps);
  matched_ = true;
}

std::vector<Cell> Canvas::cells() const {
  std::vector<Cell> cells;
  for (size_t i = 0; i < gaps_.size(); ++i) {
    if (i > 0) cells.push_back({std::string(kMaskGlyph), true, kLongAgo});
    cells.insert(cells.end(), gaps_[i].begin(), gaps_[i].end());
  }
  return cells;
}

}  // namespace sparsed::clients
