// Cuts text into the words that BPE sees.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/tokenizer/regex.h"

namespace sparsed::engine {

// Text cut into words: word i is text[ends[i - 1], ends[i]). No word is empty.
struct Words {
  std::string text;
  std::vector<size_t> ends;

  template <typename Visit>
  void ForEach(Visit visit) const {
    size_t start = 0;
    for (const size_t end : ends) {
      visit(std::string_view(text).substr(start, end - start));
      start = end;
    }
  }
};

// A step of the pre-tokenizer: cuts every word further, or respells it. Immutable; thread-safe.
class PreTokenizerStep {
 public:
  virtual ~PreTokenizerStep() = default;
  // Errors: INVALID_ARGUMENT (the text is too complex for a regular expression).
  virtual absl::Status Apply(Words* words) const = 0;
};

// Split with behavior Isolated.
std::unique_ptr<PreTokenizerStep> MakeSplitStep(Regex regex);
// Digits: characters of category N, each alone or in runs.
std::unique_ptr<PreTokenizerStep> MakeDigitsStep(bool individual_digits);
// ByteLevel: a space before every word that has none (add_prefix_space), GPT-2's pattern
// (use_regex), then the byte alphabet. Errors: INTERNAL (PCRE2 refuses the pattern).
absl::StatusOr<std::unique_ptr<PreTokenizerStep>> MakeByteLevelStep(bool add_prefix_space,
                                                                    bool use_regex);

}  // namespace sparsed::engine
