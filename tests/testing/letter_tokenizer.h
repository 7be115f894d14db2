// A tokenizer.json of letters: one token for each visible ASCII character, special tokens "<0>" to
// "<5>". Other bytes have no token and leave nothing.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/str_cat.h"

namespace sparsed::testing {

inline constexpr int32_t kLetterMask = 5;  // the last special token
inline constexpr int32_t kLetterVocabulary = 128;

// The token of a visible ASCII character.
inline int32_t LetterId(char c) { return 16 + (c - '!'); }

inline std::string LetterTokenizerJson() {
  nlohmann::json file = nlohmann::json::parse(
      R"({"version": "1.0", "added_tokens": [], "normalizer": null,
          "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
                            "use_regex": true},
          "post_processor": null, "decoder": {"type": "ByteLevel"},
          "model": {"type": "BPE", "vocab": {}, "merges": []}})",
      nullptr, false);
  for (int id = 0; id <= kLetterMask; ++id) {
    file["added_tokens"].push_back({{"id", id},
                                    {"content", absl::StrCat("<", id, ">")},
                                    {"special", true},
                                    {"normalized", false},
                                    {"single_word", false},
                                    {"lstrip", false},
                                    {"rstrip", false}});
  }
  for (char c = '!'; c <= '~'; ++c) file["model"]["vocab"][std::string(1, c)] = LetterId(c);
  return file.dump();
}

}  // namespace sparsed::testing
