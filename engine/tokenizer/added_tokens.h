// Tokens that a checkpoint adds beside its BPE vocabulary, found in the text before everything
// else.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/tokenizer/utf8.h"

namespace sparsed::engine {

struct AddedToken {
  int32_t id = 0;
  std::string content;  // not empty
  bool special = false;
  bool normalized = false;   // matched in the normalised text
  bool single_word = false;  // not matched beside a word character
  bool lstrip = false;       // takes the white space before it along
  bool rstrip = false;       // takes the white space behind it along
};

// Bytes [begin, end) of a text in which special tokens are ordinary characters. In a list they
// ascend and do not overlap.
struct PlainRange {
  size_t begin = 0;
  size_t end = 0;
};

// Bytes [begin, end) of a text: an added token, or ordinary text.
struct TextPiece {
  size_t begin = 0;
  size_t end = 0;
  std::optional<int32_t> id;
};

// Finds added tokens, leftmost and longest first. Immutable after Add; thread-safe.
// Source: huggingface/tokenizers tokenizer/added_vocabulary.rs (find_matches).
class AddedTokenMatcher {
 public:
  // is_space: what lstrip and rstrip take along.
  explicit AddedTokenMatcher(bool (*is_space)(char32_t) = IsWhiteSpace) : is_space_(is_space) {}

  // `pattern` is what to look for: the token's content, normalised where the token is. False if
  // that pattern is there already.
  bool Add(std::string_view pattern, const AddedToken& token);
  bool has_special() const { return has_special_; }

  // Appends the pieces of valid UTF-8 `text`, none empty. A special token that lies within a plain
  // range is skipped as a whole; one that lies partly within is not seen.
  void Split(std::string_view text, const std::vector<PlainRange>& plain,
             std::vector<TextPiece>* pieces) const;

 private:
  struct Node {
    std::vector<std::pair<uint8_t, int32_t>> children;
    int32_t token = -1;  // index into tokens_
  };
  struct Match {
    size_t end = 0;
    const AddedToken* token = nullptr;  // null: nothing here
    bool plain = false;                 // special, but in a plain range
  };

  int32_t Child(int32_t node, char byte) const;
  Match FindAt(std::string_view text, size_t begin, const std::vector<PlainRange>& plain) const;

  size_t SkipSpaceBackward(std::string_view text, size_t begin, size_t limit) const;
  size_t SkipSpaceForward(std::string_view text, size_t end) const;

  bool (*is_space_)(char32_t);
  std::vector<AddedToken> tokens_;
  std::vector<Node> nodes_ = std::vector<Node>(1);
  bool has_special_ = false;
};

}  // namespace sparsed::engine
