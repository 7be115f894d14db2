// A compiled regular expression that cuts text into pieces. Character classes are those of the
// installed PCRE2's Unicode version (14 in 10.42); a character assigned since then may be in
// another class than the tokenizers library has it in.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

struct pcre2_real_code_8;

namespace sparsed::engine {

// Immutable; thread-safe (every call has its own match data).
class Regex {
 public:
  // `pcre2_pattern` is PCRE2 syntax, matched with UTF and UCP. Errors: INVALID_ARGUMENT.
  static absl::StatusOr<Regex> Compile(const std::string& pcre2_pattern);

  // Cuts valid UTF-8 into matches and the gaps between them ("Isolated"): appends the end offset of
  // every piece that is not empty, the last one being text.size().
  // Errors: INVALID_ARGUMENT (the match takes more steps than PCRE2's limit).
  absl::Status Split(std::string_view text, std::vector<size_t>* ends) const;

 private:
  struct FreeCode {
    void operator()(pcre2_real_code_8* code) const;
  };
  explicit Regex(pcre2_real_code_8* code) : code_(code) {}

  std::unique_ptr<pcre2_real_code_8, FreeCode> code_;
};

}  // namespace sparsed::engine
