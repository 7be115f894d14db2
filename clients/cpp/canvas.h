// The canvas as it is being denoised, as cells that remember when they were committed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sparsed/v1/generation.pb.h"

namespace sparsed::clients {

// One code point of the canvas's text.
struct Cell {
  std::string text;         // UTF-8
  bool mask = false;        // the light shade of a position still masked
  double committed_at = 0;  // seconds, on the caller's clock; kLongAgo if not known
};

inline constexpr double kLongAgo = -1e9;

// Follows the frames of one generation. A frame has a text for the whole canvas, not for each
// token, so the cells that are new are found by matching the text between two masks with the pieces
// that stood there before. Where that cannot be done (a text that contains the mask glyph itself)
// the cells count as committed long ago: only a highlight is lost.
class Canvas {
 public:
  // Takes over `frame`, received at `now`. `mask_id` is the model's mask token.
  void Update(const v1::Frame& frame, uint32_t mask_id, double now);

  // The text, one cell a code point.
  std::vector<Cell> cells() const;

 private:
  // Cells between two neighbouring masks, or a mask and an end of the canvas. May be empty.
  using Gap = std::vector<Cell>;

  std::vector<uint32_t> masks_;  // canvas positions still masked, ascending
  std::vector<Gap> gaps_;        // masks_.size() + 1, or one with everything if not matched
  bool matched_ = false;
};

}  // namespace sparsed::clients
