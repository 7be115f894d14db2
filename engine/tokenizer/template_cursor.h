// Walks the tokens of a chat template.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/tokenizer/template_lexer.h"

namespace sparsed::engine {

// A place in a list of tokens that ends with kEnd. Borrows the list.
class TokenCursor {
 public:
  explicit TokenCursor(const std::vector<TemplateToken>* tokens) : tokens_(tokens) {}

  const TemplateToken& Peek() const { return (*tokens_)[position_]; }
  const TemplateToken& PeekNext() const {
    return (*tokens_)[position_ + 1 < tokens_->size() ? position_ + 1 : position_];
  }
  void Next() { position_ += position_ + 1 < tokens_->size() ? 1 : 0; }
  bool IsName(std::string_view name) const;
  bool IsOperator(std::string_view text) const;
  bool TakeName(std::string_view name);
  bool TakeOperator(std::string_view text);
  absl::Status Expect(TemplateTokenKind kind, const std::string& what);
  absl::Status ExpectOperator(std::string_view text);
  // An identifier that is no keyword.
  absl::StatusOr<std::string> TakeIdentifier();
  absl::Status Error(const std::string& problem) const;  // names the line

 private:
  const std::vector<TemplateToken>* tokens_;
  size_t position_ = 0;
};

}  // namespace sparsed::engine
