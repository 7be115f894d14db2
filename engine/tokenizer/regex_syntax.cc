#include "engine/tokenizer/regex_syntax.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/status_macros.h"

namespace sparsed::engine {
namespace {

constexpr char kSpaceItems[] = R"(\t-\r\x{85}\p{Z})";
constexpr char kWordItems[] =
    R"(\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}\x{24b6}-\x{24e9}\x{1f130}-\x{1f149}\x{1f150}-\x{1f169})"
    R"(\x{1f170}-\x{1f189})";

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsAsciiLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool IsHexDigit(char c) { return IsDigit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

bool IsGeneralCategory(const std::string& name) {
  static constexpr std::string_view kNames[] = {
      "L",  "Lu", "Ll", "Lt", "Lm", "Lo", "M",  "Mn", "Mc", "Me", "N",  "Nd", "Nl",
      "No", "P",  "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "S",  "Sm", "Sc", "Sk",
      "So", "Z",  "Zs", "Zl", "Zp", "C",  "Cc", "Cf", "Cs", "Co", "Cn"};
  return std::find(std::begin(kNames), std::end(kNames), std::string_view(name)) !=
         std::end(kNames);
}

class Translator {
 public:
  explicit Translator(std::string_view pattern) : in_(pattern) {}

  absl::StatusOr<std::string> Run() {
    while (pos_ < in_.size()) SPARSED_RETURN_IF_ERROR(Item());
    return std::move(out_);
  }

 private:
  char Peek(size_t ahead = 0) const { return pos_ + ahead < in_.size() ? in_[pos_ + ahead] : '\0'; }
  bool Starts(std::string_view text) const { return in_.substr(pos_).starts_with(text); }

  absl::Status Unknown(std::string_view construct) const {
    return absl::InvalidArgumentError(absl::StrCat("regular expression construct \"",
                                                   std::string(construct), "\" at byte ", pos_,
                                                   " is not implemented"));
  }

  absl::Status Item() {
    switch (Peek()) {
      case '\\':
        return Escape(false);
      case '[':
        return Class();
      case '(':
        return Group();
      case '{':
        return Interval();
      case '^':
        out_ += "(?m:^)";
        break;
      case '$':
        out_ += "(?m:$)";
        break;
      default:
        out_ += Peek();
    }
    ++pos_;
    return absl::OkStatus();
  }

  absl::Status Group() {
    static constexpr std::string_view kKnown[] = {"(?:",  "(?=",  "(?!", "(?>",
                                                  "(?<=", "(?<!", "(?i:"};
    for (const std::string_view known : kKnown) {
      if (!Starts(known)) continue;
      out_ += known;
      pos_ += known.size();
      return absl::OkStatus();
    }
    if (Peek(1) == '?' || Peek(1) == '*') return Unknown(in_.substr(pos_, 4));
    out_ += '(';
    ++pos_;
    return absl::OkStatus();
  }

  // {n}, {n,} and {n,m}; {n,m}+ and {n}? mean other things to the two libraries.
  absl::Status Interval() {
    size_t end = pos_ + 1;
    const auto digits = [&] {
      const size_t start = end;
      while (end < in_.size() && IsDigit(in_[end])) ++end;
      return end - start;
    };
    bool range = false;
    bool ok = digits() > 0;
    if (ok && end < in_.size() && in_[end] == ',') {
      range = true;
      ++end;
      digits();
    }
    ok = ok && end < in_.size() && in_[end] == '}';
    const char after = end + 1 < in_.size() ? in_[end + 1] : '\0';
    if (!ok || after == '+' || (after == '?' && !range)) {
      return Unknown(in_.substr(pos_, std::min<size_t>(end + 2 - pos_, 16)));
    }
    out_ += in_.substr(pos_, end + 1 - pos_);
    pos_ = end + 1;
    return absl::OkStatus();
  }

  absl::Status Class() {
    const size_t start = pos_;
    out_ += '[';
    ++pos_;
    if (Peek() == '^') {
      out_ += '^';
      ++pos_;
    }
    if (Peek() == ']') return Unknown("[]");
    while (pos_ < in_.size() && Peek() != ']') {
      if (Peek() == '[') return Unknown("[ inside [...]");
      if (Starts("&&")) return Unknown("&&");
      if (Peek() == '\\') {
        SPARSED_RETURN_IF_ERROR(Escape(true));
      } else {
        out_ += Peek();
        ++pos_;
      }
    }
    if (pos_ == in_.size()) {
      pos_ = start;
      return Unknown("[ without ]");
    }
    out_ += ']';
    ++pos_;
    return absl::OkStatus();
  }

  void Set(bool in_class, bool negated, std::string_view items) {
    if (in_class) {
      out_ += items;
    } else {
      out_ += negated ? "[^" : "[";
      out_ += items;
      out_ += ']';
    }
    pos_ += 2;
  }

  absl::Status Escape(bool in_class) {
    const char c = Peek(1);
    switch (c) {
      case 's':
        Set(in_class, false, kSpaceItems);
        return absl::OkStatus();
      case 'S':
        if (in_class) {
          Set(true, false, R"(\S\x{180e})");
        } else {
          Set(false, true, kSpaceItems);
        }
        return absl::OkStatus();
      case 'w':
        Set(in_class, false, kWordItems);
        return absl::OkStatus();
      case 'W':
        if (in_class) return Unknown(R"([\W])");
        Set(false, true, kWordItems);
        return absl::OkStatus();
      case 'v':
        out_ += R"(\x0b)";
        pos_ += 2;
        return absl::OkStatus();
      case 'd':
      case 'D':
      case 'r':
      case 'n':
      case 't':
      case 'f':
        out_ += in_.substr(pos_, 2);
        pos_ += 2;
        return absl::OkStatus();
      case 'p':
      case 'P':
        return Property();
      case 'x':
      case 'u':
        return CodePoint();
      default:
        return EscapedCharacter();
    }
  }

  absl::Status EscapedCharacter() {
    const char c = Peek(1);
    if (pos_ + 1 >= in_.size() || IsAsciiLetter(c) || IsDigit(c)) {
      return Unknown(in_.substr(pos_, 2));
    }
    if (static_cast<unsigned char>(c) < 0x80) out_ += '\\';
    out_ += c;
    pos_ += 2;
    return absl::OkStatus();
  }

  // \xHH below 0x80 (above, Oniguruma means a byte), \x{H..} and \uHHHH.
  absl::Status CodePoint() {
    size_t end = pos_ + 2;
    const bool braces = Peek(1) == 'x' && Peek(2) == '{';
    if (braces) ++end;
    const size_t start = end;
    const size_t most = Peek(1) == 'u' ? 4 : braces ? 6 : 2;
    while (end < in_.size() && IsHexDigit(in_[end]) && end - start < most) ++end;
    const std::string hex(in_.substr(start, end - start));
    const bool ok = braces ? !hex.empty() && end < in_.size() && in_[end] == '}'
                           : hex.size() == most && (Peek(1) == 'u' || hex[0] < '8');
    if (!ok) return Unknown(in_.substr(pos_, 2));
    out_ += absl::StrCat("\\x{", hex, "}");
    pos_ = braces ? end + 1 : end;
    return absl::OkStatus();
  }

  absl::Status Property() {
    const size_t close = in_.find('}', pos_);
    if (Peek(2) != '{' || close == std::string_view::npos) return Unknown(in_.substr(pos_, 2));
    std::string name(in_.substr(pos_ + 3, close - pos_ - 3));
    const std::string caret = name.starts_with('^') ? "^" : "";
    name = name.substr(caret.size());
    const bool script = name.size() > 2 && std::all_of(name.begin(), name.end(), [](char c) {
                          return IsAsciiLetter(c) || c == '_';
                        });
    if (!script && !IsGeneralCategory(name)) return Unknown(in_.substr(pos_, close + 1 - pos_));
    const std::string letter(1, Peek(1));
    out_ += absl::StrCat("\\", letter, "{", caret, script ? "sc:" : "", name, "}");
    pos_ = close + 1;
    return absl::OkStatus();
  }

  std::string_view in_;
  size_t pos_ = 0;
  std::string out_;
};

}  // namespace

absl::StatusOr<std::string> TranslateRegex(std::string_view pattern) {
  return Translator(pattern).Run();
}

std::string LiteralRegex(std::string_view text) {
  std::string regex;
  for (const char c : text) {
    const bool plain = IsAsciiLetter(c) || IsDigit(c) || static_cast<unsigned char>(c) >= 0x80;
    if (!plain) regex += '\\';
    regex += c;
  }
  return regex;
}

}  // namespace sparsed::engine
