// Turns committed canvas tokens into text that never changes once given out.
//
// Text is held back from the first canvas position still masked, from an unfinished UTF-8 sequence
// and from what may be the beginning of a stop string. The texts that Take and Finish return,
// joined, are the final text.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/tokenizer/tokenizer.h"

namespace sparsed::engine {

// A piece of an infill template: fixed text, or a hole of `hole_tokens` canvas positions.
struct TemplatePart {
  std::string text;
  int32_t hole_tokens = 0;  // > 0: a hole, text is empty
};

class TextAssembler {
 public:
  struct Options {
    std::vector<int32_t> end_token_ids;
    bool stop_at_end = true;  // cut at the first end token (infill: each hole at its own first)
    std::vector<std::string> stop;  // cut before the first of these; empty for infill
  };

  // `tokenizer` is borrowed for the assembler's life. A plain continuation is one hole.
  TextAssembler(const Tokenizer* tokenizer, Options options, std::vector<TemplatePart> parts);

  void Commit(int32_t canvas_index, int32_t token);
  // The text that became stable since the last call, and how many canvas positions it spans.
  std::string Take();
  int32_t taken_positions() const;  // canvas positions [0, n) whose text has been given out or cut
  // The text is cut: nothing committed later can change it. Always false for infill.
  bool complete() const;
  bool stopped()
      const;  // an end token or a stop string cut the text (of the last hole, for infill)
  // The rest: positions still masked are left out. Call once, at the end.
  std::string Finish();
  std::vector<std::string> HoleTexts() const;  // valid after Finish
};

}  // namespace sparsed::engine
