#include "engine/tokenizer/pre_tokenizer.h"

#include <optional>
#include <utility>

#include "engine/status_macros.h"
#include "engine/tokenizer/byte_level.h"
#include "engine/tokenizer/regex_syntax.h"
#include "engine/tokenizer/utf8.h"

namespace sparsed::engine {
namespace {

// Source: openai/gpt-2 src/encoder.py.
constexpr char kGpt2Pattern[] =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

absl::Status SplitWords(const Regex& regex, Words* words) {
  std::vector<size_t> ends;
  absl::Status status;
  size_t start = 0;
  words->ForEach([&](std::string_view word) {
    if (!status.ok()) return;
    const size_t first = ends.size();
    status = regex.Split(word, &ends);
    for (size_t i = first; i < ends.size(); ++i) ends[i] += start;
    start += word.size();
  });
  words->ends = std::move(ends);
  return status;
}

class SplitStep : public PreTokenizerStep {
 public:
  explicit SplitStep(Regex regex) : regex_(std::move(regex)) {}
  absl::Status Apply(Words* words) const override { return SplitWords(regex_, words); }

 private:
  Regex regex_;
};

class DigitsStep : public PreTokenizerStep {
 public:
  explicit DigitsStep(bool individual_digits) : individual_digits_(individual_digits) {}

  absl::Status Apply(Words* words) const override {
    std::vector<size_t> ends;
    size_t start = 0;
    words->ForEach([&](std::string_view word) {
      bool was_numeric = false;
      for (size_t i = 0; i < word.size();) {
        const Utf8Char c = DecodeUtf8(word, i);
        const bool numeric = IsNumeric(c.code);
        const bool cut = numeric != was_numeric || (numeric && individual_digits_);
        if (cut && i > 0) ends.push_back(start + i);
        was_numeric = numeric;
        i += c.length;
      }
      start += word.size();
      ends.push_back(start);
    });
    words->ends = std::move(ends);
    return absl::OkStatus();
  }

 private:
  bool individual_digits_;
};

class ByteLevelStep : public PreTokenizerStep {
 public:
  ByteLevelStep(bool add_prefix_space, std::optional<Regex> regex)
      : add_prefix_space_(add_prefix_space), regex_(std::move(regex)) {}

  absl::Status Apply(Words* words) const override {
    if (add_prefix_space_) {
      Respell(words, [](std::string_view word, std::string* text) {
        if (!word.starts_with(' ')) *text += ' ';
        *text += word;
      });
    }
    if (regex_.has_value()) SPARSED_RETURN_IF_ERROR(SplitWords(*regex_, words));
    Respell(words, AppendByteAlphabet);
    return absl::OkStatus();
  }

 private:
  template <typename Append>
  static void Respell(Words* words, Append append) {
    Words respelled;
    respelled.text.reserve(words->text.size() + words->text.size() / 2);
    respelled.ends.reserve(words->ends.size());
    words->ForEach([&](std::string_view word) {
      append(word, &respelled.text);
      respelled.ends.push_back(respelled.text.size());
    });
    *words = std::move(respelled);
  }

  bool add_prefix_space_;
  std::optional<Regex> regex_;
};

}  // namespace

std::unique_ptr<PreTokenizerStep> MakeSplitStep(Regex regex) {
  return std::make_unique<SplitStep>(std::move(regex));
}

std::unique_ptr<PreTokenizerStep> MakeDigitsStep(bool individual_digits) {
  return std::make_unique<DigitsStep>(individual_digits);
}

absl::StatusOr<std::unique_ptr<PreTokenizerStep>> MakeByteLevelStep(bool add_prefix_space,
                                                                    bool use_regex) {
  std::optional<Regex> regex;
  if (use_regex) {
    SPARSED_ASSIGN_OR_RETURN(const std::string pattern, TranslateRegex(kGpt2Pattern));
    SPARSED_ASSIGN_OR_RETURN(regex, Regex::Compile(pattern));
  }
  return std::unique_ptr<PreTokenizerStep>(
      std::make_unique<ByteLevelStep>(add_prefix_space, std::move(regex)));
}

}  // namespace sparsed::engine
