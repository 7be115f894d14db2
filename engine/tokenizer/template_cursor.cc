#include "engine/tokenizer/template_cursor.h"

#include <algorithm>
#include <iterator>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace sparsed::engine {
namespace {

bool IsKeyword(std::string_view name) {
  static constexpr std::string_view kKeywords[] = {"and", "or",   "not",  "in", "is",
                                                   "if",  "else", "elif", "for"};
  return std::find(std::begin(kKeywords), std::end(kKeywords), name) != std::end(kKeywords);
}

}  // namespace

bool TokenCursor::IsName(std::string_view name) const {
  return Peek().kind == TemplateTokenKind::kName && Peek().text == name;
}

bool TokenCursor::IsOperator(std::string_view text) const {
  return Peek().kind == TemplateTokenKind::kOperator && Peek().text == text;
}

bool TokenCursor::TakeName(std::string_view name) {
  if (!IsName(name)) return false;
  Next();
  return true;
}

bool TokenCursor::TakeOperator(std::string_view text) {
  if (!IsOperator(text)) return false;
  Next();
  return true;
}

absl::Status TokenCursor::Expect(TemplateTokenKind kind, const std::string& what) {
  if (Peek().kind != kind) return Error(absl::StrCat(what, " expected"));
  Next();
  return absl::OkStatus();
}

absl::Status TokenCursor::ExpectOperator(std::string_view text) {
  if (TakeOperator(text)) return absl::OkStatus();
  return Error(absl::StrCat("\"", std::string(text), "\" expected"));
}

absl::StatusOr<std::string> TokenCursor::TakeIdentifier() {
  const TemplateToken token = Peek();
  if (token.kind != TemplateTokenKind::kName || IsKeyword(token.text)) {
    return Error("a name expected");
  }
  Next();
  return token.text;
}

absl::Status TokenCursor::Error(const std::string& problem) const {
  const std::string& at = Peek().text;
  return absl::InvalidArgumentError(
      absl::StrCat("chat template line ", Peek().line, ": ", problem,
                   at.empty() ? "" : absl::StrCat(" at \"", at, "\"")));
}

}  // namespace sparsed::engine
