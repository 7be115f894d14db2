#include "engine/tokenizer/template_lexer.h"

#include <algorithm>
#include <string_view>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/status_macros.h"
#include "engine/tokenizer/utf8.h"

namespace sparsed::engine {
namespace {

bool IsNameStart(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool IsAsciiDigit(char c) { return c >= '0' && c <= '9'; }

// \r\n and \r become \n, and one newline at the end is dropped.
std::string NormalizeNewlines(std::string_view source) {
  std::string text;
  text.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      text += source[i];
    } else if (i + 1 == source.size() || source[i + 1] != '\n') {
      text += '\n';
    }
  }
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

bool IsSpaceOnly(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const Utf8Char c = DecodeUtf8(text, i);
    if (!IsPythonSpace(c.code)) return false;
    i += c.length;
  }
  return true;
}

std::string_view StripRight(std::string_view text) {
  while (!text.empty()) {
    const Utf8Char c = LastUtf8Char(text);
    if (!IsPythonSpace(c.code)) break;
    text.remove_suffix(c.length);
  }
  return text;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : in_(source) {}

  absl::StatusOr<std::vector<TemplateToken>> Run() {
    while (pos_ < in_.size()) {
      Data();
      if (pos_ == in_.size()) break;
      if (in_[pos_ + 1] == '#') {
        SPARSED_RETURN_IF_ERROR(Comment());
      } else {
        SPARSED_RETURN_IF_ERROR(Tag());
      }
    }
    Add(TemplateTokenKind::kEnd, "");
    return std::move(tokens_);
  }

 private:
  char At(size_t index) const { return index < in_.size() ? in_[index] : '\0'; }
  bool Starts(std::string_view text) const { return in_.substr(pos_).starts_with(text); }

  void Add(TemplateTokenKind kind, std::string_view text) {
    tokens_.push_back({kind, std::string(text), line_});
  }

  void Advance(size_t count) {
    line_ += static_cast<int32_t>(
        std::count(in_.begin() + static_cast<std::ptrdiff_t>(pos_),
                   in_.begin() + static_cast<std::ptrdiff_t>(pos_ + count), '\n'));
    pos_ += count;
  }

  absl::Status Error(const std::string& problem) const {
    return absl::InvalidArgumentError(absl::StrCat("chat template line ", line_, ": ", problem));
  }

  size_t FindTag() const {
    for (size_t i = pos_; i + 1 < in_.size(); ++i) {
      const char next = in_[i + 1];
      if (in_[i] == '{' && (next == '{' || next == '%' || next == '#')) return i;
    }
    return in_.size();
  }

  // The text up to the next tag, cut as that tag's sign and lstrip_blocks say.
  void Data() {
    const size_t tag = FindTag();
    std::string_view text = in_.substr(pos_, tag - pos_);
    const char sign = At(tag + 2);
    if (tag < in_.size()) {
      if (sign == '-') {
        text = StripRight(text);
      } else if (sign != '+' && At(tag + 1) != '{') {
        const size_t line_start = text.rfind('\n') + 1;
        if ((line_start > 0 || line_starting_) && IsSpaceOnly(text.substr(line_start))) {
          text = text.substr(0, line_start);
        }
      }
    }
    if (!text.empty()) Add(TemplateTokenKind::kData, text);
    Advance(tag - pos_);
  }

  // Behind a tag that ended with `sign`: "-" takes the white space along, and a block or a comment
  // the newline directly behind it, unless it ended with "+".
  void AfterTag(char sign, bool trim_newline) {
    const size_t before = pos_;
    if (sign == '-') {
      while (pos_ < in_.size()) {
        const Utf8Char c = DecodeUtf8(in_, pos_);
        if (!IsPythonSpace(c.code)) break;
        Advance(c.length);
      }
    } else if (trim_newline && sign != '+' && At(pos_) == '\n') {
      Advance(1);
    }
    line_starting_ = pos_ > before && in_[pos_ - 1] == '\n';
  }

  absl::Status Comment() {
    const bool signed_begin = At(pos_ + 2) == '-' || At(pos_ + 2) == '+';
    const size_t begin = pos_ + (signed_begin ? 3 : 2);
    const size_t end = in_.find("#}", begin);
    if (end == std::string_view::npos) return Error("a comment without end");
    const char sign = end > begin ? in_[end - 1] : '\0';
    Advance(end + 2 - pos_);
    AfterTag(sign, true);
    return absl::OkStatus();
  }

  absl::Status Tag() {
    const bool block = in_[pos_ + 1] == '%';
    Add(block ? TemplateTokenKind::kBlockBegin : TemplateTokenKind::kVariableBegin, "");
    Advance(2);
    if (At(pos_) == '-' || At(pos_) == '+') Advance(1);
    const std::string_view end = block ? "%}" : "}}";
    while (pos_ < in_.size()) {
      const char c = At(pos_);
      const bool signed_end = (c == '-' || (block && c == '+')) && in_.substr(pos_ + 1, 2) == end;
      if (signed_end || Starts(end)) {
        if (!brackets_.empty()) return Error(absl::StrCat("\"", brackets_, "\" expected"));
        Add(block ? TemplateTokenKind::kBlockEnd : TemplateTokenKind::kVariableEnd, "");
        Advance(signed_end ? 3 : 2);
        AfterTag(signed_end ? c : '\0', block);
        return absl::OkStatus();
      }
      SPARSED_RETURN_IF_ERROR(Expression());
    }
    return Error(block ? "{% without %}" : "{{ without }}");
  }

  absl::Status Expression() {
    const char c = in_[pos_];
    const Utf8Char character = DecodeUtf8(in_, pos_);
    if (IsPythonSpace(character.code)) {
      Advance(character.length);
      return absl::OkStatus();
    }
    if (c == '\'' || c == '"') return String();
    size_t end = pos_;
    if (IsNameStart(c)) {
      while (end < in_.size() && (IsNameStart(in_[end]) || IsAsciiDigit(in_[end]))) ++end;
      Add(TemplateTokenKind::kName, in_.substr(pos_, end - pos_));
    } else if (IsAsciiDigit(c)) {
      while (end < in_.size() && IsAsciiDigit(in_[end])) ++end;
      const bool is_integer = end - pos_ <= 9 && !IsNameStart(At(end)) &&
                              !(At(end) == '.' && IsAsciiDigit(At(end + 1)));
      if (!is_integer) return Error("a number that is no integer below 10^9");
      Add(TemplateTokenKind::kInteger, in_.substr(pos_, end - pos_));
    } else {
      return Operator();
    }
    Advance(end - pos_);
    return absl::OkStatus();
  }

  absl::Status Operator() {
    static constexpr std::string_view kOperators[] = {"==", "!=", "<=", ">=", "//", "+", "-",
                                                      "*",  "%",  "~",  "<",  ">",  "=", "|",
                                                      ".",  ",",  ":",  "(",  ")",  "[", "]"};
    for (const std::string_view known : kOperators) {
      if (!Starts(known)) continue;
      if (known == "(" || known == "[") brackets_ += known == "(" ? ')' : ']';
      if (known == ")" || known == "]") {
        if (brackets_.empty() || brackets_.back() != known[0]) {
          return Error(absl::StrCat("unexpected \"", std::string(known), "\""));
        }
        brackets_.pop_back();
      }
      Add(TemplateTokenKind::kOperator, known);
      Advance(known.size());
      return absl::OkStatus();
    }
    const uint32_t length = DecodeUtf8(in_, pos_).length;
    return Error(
        absl::StrCat("\"", std::string(in_.substr(pos_, length)), "\" is not implemented"));
  }

  absl::Status String() {
    const char quote = in_[pos_];
    size_t end = pos_ + 1;
    while (end < in_.size() && in_[end] != quote) end += in_[end] == '\\' ? 2 : 1;
    if (end >= in_.size()) return Error("a string without end");
    std::string text;
    SPARSED_RETURN_IF_ERROR(Unescape(in_.substr(pos_ + 1, end - pos_ - 1), &text));
    Add(TemplateTokenKind::kString, text);
    Advance(end + 1 - pos_);
    return absl::OkStatus();
  }

  // Python's unicode-escape.
  absl::Status Unescape(std::string_view raw, std::string* text) const {
    static constexpr std::string_view kLetters = "abfnrtv\\'\"";
    static constexpr std::string_view kMeanings = "\a\b\f\n\r\t\v\\'\"";
    for (size_t i = 0; i < raw.size();) {
      if (raw[i] != '\\') {
        *text += raw[i++];
        continue;
      }
      const char letter = raw[i + 1];
      i += 2;
      if (const size_t index = kLetters.find(letter); index != std::string_view::npos) {
        *text += kMeanings[index];
      } else if (letter == 'x' || letter == 'u' || letter == 'U') {
        SPARSED_RETURN_IF_ERROR(UnescapeCode(raw,
                                             letter == 'x'   ? 2
                                             : letter == 'u' ? 4
                                                             : 8,
                                             16, &i, text));
      } else if (letter >= '0' && letter <= '7') {
        --i;
        size_t digits = 1;
        while (digits < 3 && i + digits < raw.size() && raw[i + digits] >= '0' &&
               raw[i + digits] <= '7') {
          ++digits;
        }
        SPARSED_RETURN_IF_ERROR(UnescapeCode(raw, digits, 8, &i, text));
      } else if (letter == 'N') {
        return Error("\"\\N\" in a string is not implemented");
      } else if (letter != '\n') {
        *text += '\\';
        *text += letter;
      }
    }
    return absl::OkStatus();
  }

  absl::Status UnescapeCode(std::string_view raw, size_t digits, uint32_t base, size_t* index,
                            std::string* text) const {
    uint32_t code = 0;
    for (size_t i = 0; i < digits; ++i, ++*index) {
      const char c = *index < raw.size() ? raw[*index] : '\0';
      const char lower = static_cast<char>(c | 0x20);
      const bool letter = lower >= 'a' && lower <= 'f';
      if (!IsAsciiDigit(c) && !letter) return Error("a malformed escape in a string");
      code = code * base + static_cast<uint32_t>(letter ? lower - 'a' + 10 : c - '0');
    }
    if (code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) {
      return Error("an escape in a string that is no character");
    }
    AppendUtf8(code, text);
    return absl::OkStatus();
  }

  std::string_view in_;
  size_t pos_ = 0;
  int32_t line_ = 1;
  bool line_starting_ = true;
  std::string brackets_;  // the closing brackets awaited
  std::vector<TemplateToken> tokens_;
};

}  // namespace

absl::StatusOr<std::vector<TemplateToken>> LexTemplate(const std::string& source) {
  if (!IsValidUtf8(source)) return absl::InvalidArgumentError("chat template: not valid UTF-8");
  const std::string normalized = NormalizeNewlines(source);
  return Lexer(normalized).Run();
}

}  // namespace sparsed::engine
