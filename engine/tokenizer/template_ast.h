// A chat template, parsed.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/tokenizer/template_value.h"

namespace sparsed::engine {

enum class ExpressionKind : uint8_t {
  kLiteral,      // literal
  kList,         // operands: the items
  kName,         // name
  kMember,       // operands[0].name
  kIndex,        // operands[0][operands[1]]
  kSlice,        // operands[0][operands[1] : operands[2] : operands[3]], absent ones null
  kCall,         // name(operands...): raise_exception, or namespace with `keywords`
  kMethod,       // operands[0].name(operands[1]...)
  kFilter,       // operands[0] | name(operands[1]...)
  kTest,         // operands[0] is name
  kUnary,        // name operands[0]: "not", "-"
  kBinary,       // operands[0] name operands[1]; "and" and "or" evaluate the second only if needed
  kConditional,  // operands[1] if operands[0] else operands[2], which may be null
};

struct Expression {
  ExpressionKind kind = ExpressionKind::kLiteral;
  int32_t line = 1;
  int32_t depth = 1;  // of the tree below, this node included
  std::string name;
  Value literal;
  std::vector<std::unique_ptr<Expression>> operands;
  std::vector<std::string> keywords;  // of a call: one for each operand
};

enum class StatementKind : uint8_t {
  kText,      // text
  kOutput,    // expression
  kSet,       // name = expression
  kSetField,  // name.text = expression, of a namespace
  kIf,        // branches; the last may have no condition
  kFor,       // for name in expression: branches[0].body, else branches[1].body
};

struct Statement;
using Statements = std::vector<std::unique_ptr<Statement>>;

struct Branch {
  std::unique_ptr<Expression> condition;  // null: always
  Statements body;
};

struct Statement {
  StatementKind kind = StatementKind::kText;
  int32_t line = 1;
  std::string name;
  std::string text;
  std::unique_ptr<Expression> expression;
  std::vector<Branch> branches;
};

// Errors: INVALID_ARGUMENT naming the line and the construct that is malformed or not implemented.
absl::StatusOr<Statements> ParseTemplate(const std::string& source);

}  // namespace sparsed::engine
