// Cuts the source of a chat template into tokens, white space control applied.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace sparsed::engine {

enum class TemplateTokenKind : uint8_t {
  kData,           // text outside of tags
  kVariableBegin,  // {{
  kVariableEnd,    // }}
  kBlockBegin,     // {%
  kBlockEnd,       // %}
  kName,
  kString,  // text: the string with escapes resolved
  kInteger,
  kOperator,
  kEnd,  // of the source; always the last token
};

struct TemplateToken {
  TemplateTokenKind kind = TemplateTokenKind::kEnd;
  std::string text;
  int32_t line = 1;
};

// As Jinja2 with trim_blocks and lstrip_blocks on and keep_trailing_newline off, which is how the
// transformers library renders chat templates. Comments leave nothing.
// Errors: INVALID_ARGUMENT naming the line.
// Source: pallets/jinja src/jinja2/lexer.py.
absl::StatusOr<std::vector<TemplateToken>> LexTemplate(const std::string& source);

}  // namespace sparsed::engine
