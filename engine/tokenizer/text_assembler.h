// Turns committed canvas tokens into text that never changes once given out.
//
// Text is held back from the first canvas position still masked, from an unfinished UTF-8 sequence
// and from what may be the beginning of a stop string. The texts that Take and Finish return,
// joined, are the final text: every hole decoded as Tokenizer::Decode does (special tokens leave
// nothing), cut before its first end token and before the stop string that begins first, with the
// fixed parts between.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/tokenizer/tokenizer.h"

namespace sparsed::engine {

// A piece of an infill template: fixed text, or a hole of `hole_tokens` canvas positions.
struct TemplatePart {
  std::string text;
  int32_t hole_tokens = 0;  // > 0: a hole, text is empty
};

// Not thread-safe.
class TextAssembler {
 public:
  struct Options {
    std::vector<int32_t> end_token_ids;
    bool stop_at_end = true;  // cut at the first end token (infill: each hole at its own first)
    // Cut before the first of these; ignored for infill. Empty ones and what is not UTF-8 never
    // match.
    std::vector<std::string> stop;
  };

  // `tokenizer` is borrowed for the assembler's life. A plain continuation is one hole and nothing
  // else; everything else is infill.
  TextAssembler(const Tokenizer* tokenizer, Options options, std::vector<TemplatePart> parts);

  // Canvas positions count the holes' tokens in order, from 0; each is committed once.
  void Commit(int32_t canvas_index, int32_t token);
  // The text that became stable since the last call. The first one of infill begins with the fixed
  // text before the first hole.
  std::string Take();
  // n: the text of canvas positions [0, n) has been given out, or they lie behind a cut. All of
  // them are committed, or it is after Finish.
  int32_t taken_positions() const;
  // The text is cut: nothing committed later can change it. Always false for infill.
  bool complete() const;
  // An end token or a stop string cut the text (for infill: an end token that of the last hole).
  bool stopped() const;
  // The rest: positions still masked are left out. Call once, at the end.
  std::string Finish();
  // The text of each hole; valid after Finish.
  std::vector<std::string> HoleTexts() const;

 private:
  struct Hole {
    int32_t begin = 0;  // canvas positions [begin, end)
    int32_t end = 0;
    int32_t next = 0;          // the first position whose bytes are not in `bytes`
    std::string bytes;         // of the positions before it, up to a cut
    size_t given_bytes = 0;    // whose text has been given out
    std::vector<size_t> ends;  // of each position before `next`: where its bytes end
    bool cut = false;          // by an end token or a stop string
    std::string text;          // given out
  };

  bool IsEnd(int32_t token) const;
  std::string Advance(bool finish);
  void Absorb(Hole* hole, bool finish);
  // The hole's text that can be given out now; `last` if no more bytes will come.
  std::string Release(Hole* hole, bool last);
  struct Hold {
    size_t at = 0;      // text before it is stable
    bool stop = false;  // a stop string begins there
  };
  Hold FindStop(std::string_view text, bool last) const;

  const Tokenizer* tokenizer_;
  Options options_;
  std::vector<TemplatePart> parts_;
  std::vector<Hole> holes_;
  std::vector<std::optional<int32_t>> canvas_;
  bool is_infill_ = false;
  size_t part_ = 0;  // the first part not given out in full
  size_t hole_ = 0;  // the first hole not given out in full
  bool finished_ = false;
};

}  // namespace sparsed::engine
