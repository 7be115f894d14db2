#include "engine/tokenizer/template_expression_parser.h"

#include <algorithm>
#include <initializer_list>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/status_macros.h"

namespace sparsed::engine {
namespace {

using Node = std::unique_ptr<Expression>;
using NodeOr = absl::StatusOr<Node>;
using Names = std::initializer_list<std::string_view>;

// Trees deeper than this are refused: parsing, rendering and freeing them recurse.
constexpr int32_t kMaxExpressionDepth = 200;

bool IsOneOf(std::string_view name, Names names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

class ExpressionParser {
 public:
  explicit ExpressionParser(TokenCursor* cursor) : cursor_(*cursor) {}

  NodeOr ParseUnconditional() { return Or(); }

  NodeOr Parse() {
    if (++nesting_ > kMaxExpressionDepth) return cursor_.Error("an expression nested too deep");
    NodeOr result = Conditional();
    --nesting_;
    return result;
  }

 private:
  template <typename... Operands>
  NodeOr Make(ExpressionKind kind, std::string name, Operands... operands) {
    auto node = std::make_unique<Expression>();
    node->kind = kind;
    node->name = std::move(name);
    node->line = cursor_.Peek().line;
    (node->operands.push_back(std::move(operands)), ...);
    return Measured(std::move(node));
  }

  NodeOr Measured(Node node) {
    for (const Node& operand : node->operands) {
      if (operand != nullptr) node->depth = std::max(node->depth, operand->depth + 1);
    }
    if (node->depth > kMaxExpressionDepth) return cursor_.Error("an expression nested too deep");
    return node;
  }

  NodeOr Literal(Value value) {
    SPARSED_ASSIGN_OR_RETURN(Node node, Make(ExpressionKind::kLiteral, ""));
    node->literal = std::move(value);
    return node;
  }

  NodeOr Conditional() {
    SPARSED_ASSIGN_OR_RETURN(Node node, Or());
    while (cursor_.TakeName("if")) {
      SPARSED_ASSIGN_OR_RETURN(Node condition, Or());
      Node otherwise;
      if (cursor_.TakeName("else")) {
        SPARSED_ASSIGN_OR_RETURN(otherwise, Parse());
      }
      SPARSED_ASSIGN_OR_RETURN(node, Make(ExpressionKind::kConditional, "if", std::move(condition),
                                          std::move(node), std::move(otherwise)));
    }
    return node;
  }

  NodeOr Or() {
    SPARSED_ASSIGN_OR_RETURN(Node node, And());
    while (cursor_.TakeName("or")) {
      SPARSED_ASSIGN_OR_RETURN(Node right, And());
      SPARSED_ASSIGN_OR_RETURN(
          node, Make(ExpressionKind::kBinary, "or", std::move(node), std::move(right)));
    }
    return node;
  }

  NodeOr And() {
    SPARSED_ASSIGN_OR_RETURN(Node node, Not());
    while (cursor_.TakeName("and")) {
      SPARSED_ASSIGN_OR_RETURN(Node right, Not());
      SPARSED_ASSIGN_OR_RETURN(
          node, Make(ExpressionKind::kBinary, "and", std::move(node), std::move(right)));
    }
    return node;
  }

  NodeOr Not() {
    if (!cursor_.TakeName("not")) return Comparison();
    if (++nesting_ > kMaxExpressionDepth) return cursor_.Error("an expression nested too deep");
    NodeOr operand = Not();
    --nesting_;
    if (!operand.ok()) return operand;
    return Make(ExpressionKind::kUnary, "not", *std::move(operand));
  }

  // The comparison operator at the cursor, taken; empty if there is none.
  std::string TakeComparison() {
    for (const char* op : {"==", "!=", "<=", ">=", "<", ">"}) {
      if (cursor_.TakeOperator(op)) return op;
    }
    if (cursor_.TakeName("in")) return "in";
    const TemplateToken& next = cursor_.PeekNext();
    if (cursor_.IsName("not") && next.kind == TemplateTokenKind::kName && next.text == "in") {
      cursor_.Next();
      cursor_.Next();
      return "not in";
    }
    return "";
  }

  NodeOr Comparison() {
    SPARSED_ASSIGN_OR_RETURN(Node node, Sum());
    const std::string op = TakeComparison();
    if (op.empty()) return node;
    SPARSED_ASSIGN_OR_RETURN(Node right, Sum());
    SPARSED_ASSIGN_OR_RETURN(node,
                             Make(ExpressionKind::kBinary, op, std::move(node), std::move(right)));
    if (!TakeComparison().empty()) return cursor_.Error("chained comparisons are not implemented");
    return node;
  }

  NodeOr Infix(std::initializer_list<const char*> operators,
               NodeOr (ExpressionParser::*operand)()) {
    SPARSED_ASSIGN_OR_RETURN(Node node, (this->*operand)());
    while (true) {
      const auto found = std::find_if(operators.begin(), operators.end(),
                                      [&](const char* op) { return cursor_.IsOperator(op); });
      if (found == operators.end()) return node;
      cursor_.Next();
      SPARSED_ASSIGN_OR_RETURN(Node right, (this->*operand)());
      SPARSED_ASSIGN_OR_RETURN(
          node, Make(ExpressionKind::kBinary, *found, std::move(node), std::move(right)));
    }
  }

  NodeOr Sum() { return Infix({"+", "-"}, &ExpressionParser::Concatenation); }
  NodeOr Concatenation() { return Infix({"~"}, &ExpressionParser::Product); }
  NodeOr Product() { return Infix({"*", "//", "%"}, &ExpressionParser::FilteredUnary); }

  NodeOr FilteredUnary() {
    SPARSED_ASSIGN_OR_RETURN(Node node, Unary());
    while (true) {
      if (cursor_.TakeOperator("|")) {
        SPARSED_ASSIGN_OR_RETURN(node, Filter(std::move(node)));
      } else if (cursor_.TakeName("is")) {
        SPARSED_ASSIGN_OR_RETURN(node, Test(std::move(node)));
      } else if (cursor_.IsOperator("(")) {
        return cursor_.Error("a call of the result of an expression is not implemented");
      } else {
        return node;
      }
    }
  }

  NodeOr Unary() {
    if (!cursor_.TakeOperator("-")) return Postfix();
    if (++nesting_ > kMaxExpressionDepth) return cursor_.Error("an expression nested too deep");
    NodeOr operand = Unary();
    --nesting_;
    if (!operand.ok()) return operand;
    return Make(ExpressionKind::kUnary, "-", *std::move(operand));
  }

  NodeOr Postfix() {
    SPARSED_ASSIGN_OR_RETURN(Node node, Primary());
    while (true) {
      if (cursor_.TakeOperator(".")) {
        SPARSED_ASSIGN_OR_RETURN(node, Member(std::move(node)));
      } else if (cursor_.TakeOperator("[")) {
        SPARSED_ASSIGN_OR_RETURN(node, Subscript(std::move(node)));
      } else {
        return node;
      }
    }
  }

  NodeOr Member(Node object) {
    SPARSED_ASSIGN_OR_RETURN(const std::string name, cursor_.TakeIdentifier());
    if (!cursor_.IsOperator("(")) {
      const bool is_loop = object->kind == ExpressionKind::kName && object->name == "loop";
      if (is_loop && !IsOneOf(name, {"index", "index0", "first", "last", "length", "revindex",
                                     "revindex0", "previtem", "nextitem"})) {
        return cursor_.Error(absl::StrCat("loop.", name, " is not implemented"));
      }
      return Make(ExpressionKind::kMember, name, std::move(object));
    }
    if (!IsOneOf(name, {"strip", "lstrip", "rstrip", "startswith", "endswith", "split"})) {
      return cursor_.Error(absl::StrCat("the method ", name, " is not implemented"));
    }
    SPARSED_ASSIGN_OR_RETURN(Node node, Make(ExpressionKind::kMethod, name, std::move(object)));
    SPARSED_RETURN_IF_ERROR(Arguments(node.get()));
    const size_t arguments = node->operands.size() - 1;
    const bool strips = IsOneOf(name, {"strip", "lstrip", "rstrip"});
    if (arguments > 1 || (arguments == 0 && !strips)) {
      return cursor_.Error(
          absl::StrCat("the method ", name, " with ", arguments, " arguments is not implemented"));
    }
    return Measured(std::move(node));
  }

  NodeOr Subscript(Node object) {
    Node parts[3];
    int colons = 0;
    while (!cursor_.TakeOperator("]")) {
      if (cursor_.TakeOperator(":")) {
        if (++colons > 2) return cursor_.Error("a slice with more than two colons");
      } else if (parts[colons] == nullptr) {
        SPARSED_ASSIGN_OR_RETURN(parts[colons], Parse());
      } else {
        return cursor_.Error("\"]\" or \":\" expected");
      }
    }
    if (colons > 0) {
      return Make(ExpressionKind::kSlice, "", std::move(object), std::move(parts[0]),
                  std::move(parts[1]), std::move(parts[2]));
    }
    if (parts[0] == nullptr) return cursor_.Error("an empty subscript");
    return Make(ExpressionKind::kIndex, "", std::move(object), std::move(parts[0]));
  }

  NodeOr Filter(Node operand) {
    SPARSED_ASSIGN_OR_RETURN(const std::string name, cursor_.TakeIdentifier());
    if (!IsOneOf(name,
                 {"trim", "tojson", "length", "count", "default", "string", "first", "last"})) {
      return cursor_.Error(absl::StrCat("the filter ", name, " is not implemented"));
    }
    SPARSED_ASSIGN_OR_RETURN(Node node, Make(ExpressionKind::kFilter, name, std::move(operand)));
    if (cursor_.IsOperator("(")) SPARSED_RETURN_IF_ERROR(Arguments(node.get()));
    const size_t most = name == "default" ? 1 : 0;
    if (node->operands.size() - 1 > most) {
      return cursor_.Error(absl::StrCat("the filter ", name, " with ", node->operands.size() - 1,
                                        " arguments is not implemented"));
    }
    return Measured(std::move(node));
  }

  NodeOr Test(Node operand) {
    const bool negated = cursor_.TakeName("not");
    SPARSED_ASSIGN_OR_RETURN(const std::string name, cursor_.TakeIdentifier());
    if (!IsOneOf(name, {"defined", "undefined", "none", "string", "mapping", "sequence", "iterable",
                        "true", "false", "boolean", "integer", "number"})) {
      return cursor_.Error(absl::StrCat("the test ", name, " is not implemented"));
    }
    SPARSED_ASSIGN_OR_RETURN(Node node, Make(ExpressionKind::kTest, name, std::move(operand)));
    if (!negated) return node;
    return Make(ExpressionKind::kUnary, "not", std::move(node));
  }

  // (a, b): appended to the node's operands.
  absl::Status Arguments(Expression* node) {
    SPARSED_RETURN_IF_ERROR(cursor_.ExpectOperator("("));
    while (!cursor_.TakeOperator(")")) {
      SPARSED_ASSIGN_OR_RETURN(node->operands.emplace_back(), Parse());
      if (!cursor_.IsOperator(")")) SPARSED_RETURN_IF_ERROR(cursor_.ExpectOperator(","));
    }
    return absl::OkStatus();
  }

  NodeOr Call(const std::string& name) {
    SPARSED_ASSIGN_OR_RETURN(Node node, Make(ExpressionKind::kCall, name));
    if (name == "raise_exception") {
      SPARSED_RETURN_IF_ERROR(Arguments(node.get()));
      if (node->operands.size() != 1) {
        return cursor_.Error("raise_exception takes one argument");
      }
      return Measured(std::move(node));
    }
    if (name != "namespace") {
      return cursor_.Error(absl::StrCat("the function ", name, " is not implemented"));
    }
    SPARSED_RETURN_IF_ERROR(cursor_.ExpectOperator("("));
    while (!cursor_.TakeOperator(")")) {
      SPARSED_ASSIGN_OR_RETURN(node->keywords.emplace_back(), cursor_.TakeIdentifier());
      SPARSED_RETURN_IF_ERROR(cursor_.ExpectOperator("="));
      SPARSED_ASSIGN_OR_RETURN(node->operands.emplace_back(), Parse());
      if (!cursor_.IsOperator(")")) SPARSED_RETURN_IF_ERROR(cursor_.ExpectOperator(","));
    }
    return Measured(std::move(node));
  }

  NodeOr Primary() {
    const TemplateToken token = cursor_.Peek();
    if (token.kind == TemplateTokenKind::kString) {
      TrackedText text;
      while (cursor_.Peek().kind == TemplateTokenKind::kString) {
        text.text += cursor_.Peek().text;
        cursor_.Next();
      }
      return Literal(Value(std::move(text)));
    }
    if (token.kind == TemplateTokenKind::kInteger) {
      cursor_.Next();
      int64_t number = 0;
      for (const char digit : token.text) number = number * 10 + (digit - '0');
      return Literal(Value(number));
    }
    if (token.kind == TemplateTokenKind::kName) return NameOrConstant();
    if (cursor_.TakeOperator("[")) return List("]", nullptr);
    if (!cursor_.TakeOperator("(")) return cursor_.Error("an expression expected");
    if (cursor_.IsOperator(")")) return List(")", nullptr);
    SPARSED_ASSIGN_OR_RETURN(Node first, Parse());
    if (cursor_.TakeOperator(")")) return first;
    SPARSED_RETURN_IF_ERROR(cursor_.ExpectOperator(","));
    return List(")", std::move(first));
  }

  NodeOr NameOrConstant() {
    SPARSED_ASSIGN_OR_RETURN(const std::string name, cursor_.TakeIdentifier());
    if (IsOneOf(name, {"true", "True"})) return Literal(Value(true));
    if (IsOneOf(name, {"false", "False"})) return Literal(Value(false));
    if (IsOneOf(name, {"none", "None"})) return Literal(Value(None()));
    if (cursor_.IsOperator("(")) return Call(name);
    return Make(ExpressionKind::kName, name);
  }

  NodeOr List(std::string_view close, Node first) {
    SPARSED_ASSIGN_OR_RETURN(Node node, Make(ExpressionKind::kList, ""));
    if (first != nullptr) node->operands.push_back(std::move(first));
    while (!cursor_.TakeOperator(close)) {
      SPARSED_ASSIGN_OR_RETURN(node->operands.emplace_back(), Parse());
      if (!cursor_.IsOperator(close)) SPARSED_RETURN_IF_ERROR(cursor_.ExpectOperator(","));
    }
    return Measured(std::move(node));
  }

  TokenCursor& cursor_;
  int32_t nesting_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Expression>> ParseExpression(TokenCursor* cursor) {
  return ExpressionParser(cursor).Parse();
}

absl::StatusOr<std::unique_ptr<Expression>> ParseIterable(TokenCursor* cursor) {
  return ExpressionParser(cursor).ParseUnconditional();
}

}  // namespace sparsed::engine
