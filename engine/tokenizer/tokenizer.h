// Byte-level BPE as a checkpoint's files define it.
// Next: added_tokens.h (special tokens first), utf8.h (NFC), pre_tokenizer.h (words), bpe.h (ids).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/tokenizer/added_tokens.h"
#include "engine/tokenizer/utf8.h"

namespace sparsed::engine {

struct TokenizerDefinition;

// Immutable after Load; every method is const and thread-safe.
class Tokenizer {
 public:
  enum class Special : uint8_t {
    kParse,  // special tokens in the text become their ids
    kPlain,  // they are ordinary characters; added tokens that are not special are still found
  };

  // Reads dir/tokenizer.json (and tokenizer_config.json beside it, where present). Only where that
  // file is not there: vocab.json, merges.txt and tokenizer_config.json (or added_tokens.json) as
  // Qwen2 and Dream have them. Errors: INVALID_ARGUMENT naming the file and the feature that is
  // unknown or malformed; NOT_FOUND naming what is missing.
  static absl::StatusOr<std::unique_ptr<Tokenizer>> Load(const std::string& dir);
  // The same from the files' contents; an empty tokenizer_config stands for none.
  static absl::StatusOr<std::unique_ptr<Tokenizer>> Parse(const std::string& tokenizer_json,
                                                          const std::string& tokenizer_config);
  ~Tokenizer();

  // Nothing is added before or after. Errors: INVALID_ARGUMENT (text is not UTF-8, or too complex
  // for the checkpoint's regular expression).
  absl::StatusOr<std::vector<int32_t>> Encode(std::string_view text, Special special) const;
  // As kParse, but special tokens that touch one of the plain ranges are ordinary characters.
  absl::StatusOr<std::vector<int32_t>> Encode(std::string_view text,
                                              const std::vector<PlainRange>& plain) const;
  // The raw bytes of one token, perhaps a part of a UTF-8 sequence. Special tokens give their text
  // if keep_special, else nothing; ids without a token give nothing.
  std::string Bytes(int32_t id, bool keep_special) const;
  // The text of ids, bytes joined first; what is not UTF-8 becomes U+FFFD.
  std::string Decode(const std::vector<int32_t>& ids, bool keep_special) const;

  int32_t vocab_size() const;  // largest id + 1
  bool IsSpecial(int32_t id) const;
  int32_t Find(std::string_view token) const;  // id of an added token's text, or -1
  // For people: "BPE from vocab.json and merges.txt, NFC, 22 added tokens".
  std::string Describe() const;

 private:
  explicit Tokenizer(std::unique_ptr<const TokenizerDefinition> definition);
  static absl::StatusOr<std::unique_ptr<Tokenizer>> Build(TokenizerDefinition definition);
  absl::Status EncodeText(std::string_view text, const std::vector<PlainRange>& plain,
                          std::vector<int32_t>* ids) const;
  absl::Status EncodePiece(std::string_view text, const std::vector<PlainRange>& plain,
                           std::vector<int32_t>* ids) const;
  absl::Status EncodeWords(std::string text, std::vector<int32_t>* ids) const;

  struct Entry {
    std::string bytes;
    bool special = false;
  };
  std::unique_ptr<const TokenizerDefinition> definition_;
  AddedTokenMatcher raw_;         // tokens matched before normalisation
  AddedTokenMatcher normalized_;  // and behind it
  std::vector<Entry> entries_;    // by id
};

}  // namespace sparsed::engine
