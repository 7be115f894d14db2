// Byte-level BPE as a checkpoint's tokenizer.json defines it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace sparsed::engine {

// Immutable after Load; every method is const and thread-safe.
class Tokenizer {
 public:
  enum class Special : uint8_t {
    kParse,  // special tokens in the text become their ids
    kPlain,  // special tokens in the text are ordinary characters
  };

  // Reads dir/tokenizer.json (and tokenizer_config.json beside it, where present). Errors:
  // INVALID_ARGUMENT naming the file and the feature that is unknown or malformed; NOT_FOUND.
  static absl::StatusOr<std::unique_ptr<Tokenizer>> Load(const std::string& dir);
  virtual ~Tokenizer() = default;

  // Nothing is added before or after. Errors: INVALID_ARGUMENT (text is not UTF-8).
  virtual absl::StatusOr<std::vector<int32_t>> Encode(std::string_view text,
                                                      Special special) const = 0;
  // The raw bytes of one token, perhaps a part of a UTF-8 sequence. Special tokens give their text
  // if keep_special, else nothing; ids without a token give nothing.
  virtual std::string Bytes(int32_t id, bool keep_special) const = 0;
  // The text of ids, bytes joined first; what is not UTF-8 becomes U+FFFD.
  virtual std::string Decode(const std::vector<int32_t>& ids, bool keep_special) const = 0;

  virtual int32_t vocab_size() const = 0;  // largest id + 1
  virtual bool IsSpecial(int32_t id) const = 0;
  virtual int32_t Find(std::string_view token) const = 0;  // id of an added token's text, or -1
};

// Replaces every maximal ill-formed sequence by U+FFFD, as Python's bytes.decode("utf-8",
// "replace").
std::string ToValidUtf8(std::string_view bytes);
bool IsValidUtf8(std::string_view bytes);

}  // namespace sparsed::engine
