// What the files of a checkpoint say about its tokenizer, checked.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/tokenizer/added_tokens.h"
#include "engine/tokenizer/bpe.h"
#include "engine/tokenizer/pre_tokenizer.h"

namespace sparsed::engine {

struct TokenizerDefinition {
  std::vector<AddedToken> added_tokens;  // distinct contents, distinct ids, agreeing with the BPE's
  bool nfc = false;
  // As transformers' tokenizers in Python: the whole text is normalised before added tokens are
  // looked for, all of them in one pass as they are spelled, and each stands for its own text.
  bool python_rules = false;
  std::vector<std::unique_ptr<PreTokenizerStep>> steps;
  Bpe bpe;
};

// Ids above this are refused.
inline constexpr int64_t kMaxTokenId = (int64_t{1} << 22) - 1;

// From the contents of tokenizer.json and tokenizer_config.json (empty: there is none), whose
// added_tokens_decoder may name further tokens. Errors: INVALID_ARGUMENT naming file and key.
absl::StatusOr<TokenizerDefinition> ParseTokenizerJson(const std::string& tokenizer_json,
                                                       const std::string& tokenizer_config);
// From the contents of vocab.json, merges.txt, tokenizer_config.json and added_tokens.json (the
// last two empty: there is none): Qwen2's tokenizer as Dream ships it, exactly as the one in Python
// encodes. Where the configuration has an added_tokens_decoder, added_tokens.json is not looked at.
// Departures: what the Python would let through and fail on later is refused (a byte without a
// token, a merge of unknown tokens, a named special token without an id), and so are single_word
// and the classes of other tokenizers. Special are tokens marked so or named so. Errors:
// INVALID_ARGUMENT naming file and line or key.
absl::StatusOr<TokenizerDefinition> ParseQwen2Files(const std::string& vocab_json,
                                                    const std::string& merges_txt,
                                                    const std::string& tokenizer_config,
                                                    const std::string& added_tokens_json);

}  // namespace sparsed::engine
