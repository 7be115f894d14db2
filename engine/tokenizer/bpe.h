// Byte-pair encoding of one pre-tokenized word.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"

namespace sparsed::engine {

// Lets a map of strings be searched by string_view.
struct StringHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};
using Vocabulary = std::unordered_map<std::string, int32_t, StringHash, std::equal_to<>>;

// Immutable after Create; thread-safe.
// Source: huggingface/tokenizers models/bpe (merge_word, merge_all), order of equal ranks included;
// for whole_rank_at_once transformers models/gpt2/tokenization_gpt2.py bpe().
class Bpe {
 public:
  struct Options {
    std::string unk_token;  // empty: characters without a token are left out
    bool fuse_unk = false;
    bool byte_fallback = false;
    bool ignore_merges = false;  // a word that is a token is that token
    // All pairs of the lowest rank are merged before the new pairs that this makes are looked at,
    // as transformers' tokenizers in Python do. Otherwise one pair at a time.
    bool whole_rank_at_once = false;
    std::string continuing_subword_prefix;
    std::string end_of_word_suffix;
  };

  // Merges in rank order, each part as the vocabulary spells it. Errors: INVALID_ARGUMENT, the
  // message begins with the key inside `model`.
  static absl::StatusOr<Bpe> Create(Vocabulary vocabulary,
                                    const std::vector<std::pair<std::string, std::string>>& merges,
                                    Options options);

  // Appends the ids of `word`, valid UTF-8. Time O(n log n).
  void Encode(std::string_view word, std::vector<int32_t>* ids) const;
  const Vocabulary& vocabulary() const { return vocabulary_; }

 private:
  struct Merge {
    uint32_t rank = 0;
    int32_t id = 0;
  };
  struct Symbol {
    int32_t id = 0;
    int32_t previous = -1;
    int32_t next = -1;
    bool removed = false;
  };

  Bpe(Vocabulary vocabulary, Options options);
  int32_t FindToken(std::string_view token) const;
  int32_t FindCharacter(std::string_view character, bool first, bool last) const;
  bool AppendFallback(std::string_view character, bool first, bool last,
                      std::vector<Symbol>* symbols) const;
  std::vector<Symbol> Characters(std::string_view word) const;
  void MergeAll(std::vector<Symbol>* symbols) const;
  const Merge* FindMerge(int32_t left, int32_t right) const;

  Vocabulary vocabulary_;
  Options options_;
  absl::flat_hash_map<uint64_t, Merge> merges_;
  int32_t unk_id_ = -1;
  std::array<int32_t, 0x200> short_characters_;  // ids of U+0000..U+01FF, -1 where none
  std::array<int32_t, 256> byte_tokens_;         // ids of <0x00>..<0xFF>, -1 where none
};

}  // namespace sparsed::engine
