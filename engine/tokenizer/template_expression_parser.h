// The expressions of a chat template.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "engine/tokenizer/template_ast.h"
#include "engine/tokenizer/template_cursor.h"

namespace sparsed::engine {

// Parses the longest expression at the cursor, by the precedence of Jinja2: conditional, or, and,
// not, comparison, + -, ~, * // %, unary, postfix and filter or test.
// Errors: INVALID_ARGUMENT naming the line.
// Source: pallets/jinja src/jinja2/parser.py.
absl::StatusOr<std::unique_ptr<Expression>> ParseExpression(TokenCursor* cursor);
// The same without "a if b": what a for tag loops over, where "if" would filter.
absl::StatusOr<std::unique_ptr<Expression>> ParseIterable(TokenCursor* cursor);

}  // namespace sparsed::engine
