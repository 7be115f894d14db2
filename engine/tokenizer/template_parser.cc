#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/status_macros.h"
#include "engine/tokenizer/template_ast.h"
#include "engine/tokenizer/template_expression_parser.h"
#include "engine/tokenizer/template_lexer.h"

namespace sparsed::engine {
namespace {

constexpr int kMaxNesting = 50;

class StatementParser {
 public:
  explicit StatementParser(const std::vector<TemplateToken>* tokens) : cursor_(tokens) {}

  absl::StatusOr<Statements> Run() {
    Statements statements;
    SPARSED_ASSIGN_OR_RETURN(const std::string stop, Body(&statements));
    if (!stop.empty()) return cursor_.Error(absl::StrCat("unexpected tag ", stop));
    return statements;
  }

 private:
  // Statements up to the end of the source ("" is returned) or to a tag that continues or ends the
  // one around: its name, which is taken.
  absl::StatusOr<std::string> Body(Statements* statements) {
    if (++nesting_ > kMaxNesting) return cursor_.Error("tags nested too deep");
    while (cursor_.Peek().kind != TemplateTokenKind::kEnd) {
      const TemplateToken token = cursor_.Peek();
      cursor_.Next();
      if (token.kind == TemplateTokenKind::kData) {
        Add(StatementKind::kText, token.line, statements)->text = token.text;
      } else if (token.kind == TemplateTokenKind::kVariableBegin) {
        Statement* output = Add(StatementKind::kOutput, token.line, statements);
        SPARSED_ASSIGN_OR_RETURN(output->expression, ParseExpression(&cursor_));
        SPARSED_RETURN_IF_ERROR(cursor_.Expect(TemplateTokenKind::kVariableEnd, "\"}}\""));
      } else {
        const std::string tag = cursor_.Peek().text;
        SPARSED_RETURN_IF_ERROR(cursor_.Expect(TemplateTokenKind::kName, "the name of a tag"));
        if (tag == "elif" || tag == "else" || tag == "endif" || tag == "endfor") {
          --nesting_;
          return tag;
        }
        SPARSED_RETURN_IF_ERROR(Tag(tag, token.line, statements));
      }
    }
    --nesting_;
    return std::string();
  }

  Statement* Add(StatementKind kind, int32_t line, Statements* statements) {
    auto statement = std::make_unique<Statement>();
    statement->kind = kind;
    statement->line = line;
    return statements->emplace_back(std::move(statement)).get();
  }

  absl::Status Tag(const std::string& tag, int32_t line, Statements* statements) {
    if (tag == "set") return Set(Add(StatementKind::kSet, line, statements));
    if (tag == "if") return If(Add(StatementKind::kIf, line, statements));
    if (tag == "for") return For(Add(StatementKind::kFor, line, statements));
    // Marks what the assistant wrote, for training; it leaves nothing in the text.
    if (tag == "generation" || tag == "endgeneration") return EndOfTag();
    return cursor_.Error(absl::StrCat("the tag ", tag, " is not implemented"));
  }

  absl::Status EndOfTag() { return cursor_.Expect(TemplateTokenKind::kBlockEnd, "\"%}\""); }

  absl::Status Set(Statement* set) {
    SPARSED_ASSIGN_OR_RETURN(set->name, cursor_.TakeIdentifier());
    if (cursor_.TakeOperator(".")) {
      set->kind = StatementKind::kSetField;
      SPARSED_ASSIGN_OR_RETURN(set->text, cursor_.TakeIdentifier());
    }
    SPARSED_RETURN_IF_ERROR(cursor_.ExpectOperator("="));
    SPARSED_ASSIGN_OR_RETURN(set->expression, ParseExpression(&cursor_));
    return EndOfTag();
  }

  absl::Status If(Statement* statement) {
    std::string tag = "if";
    while (tag != "endif") {
      Branch& branch = statement->branches.emplace_back();
      if (tag != "else") {
        SPARSED_ASSIGN_OR_RETURN(branch.condition, ParseExpression(&cursor_));
      }
      SPARSED_RETURN_IF_ERROR(EndOfTag());
      const bool is_else = tag == "else";
      SPARSED_ASSIGN_OR_RETURN(tag, Body(&branch.body));
      if (tag.empty()) return cursor_.Error("if without endif");
      if (tag == "endfor" || (is_else && tag != "endif")) {
        return cursor_.Error(absl::StrCat("unexpected tag ", tag));
      }
    }
    return EndOfTag();
  }

  absl::Status For(Statement* statement) {
    SPARSED_ASSIGN_OR_RETURN(statement->name, cursor_.TakeIdentifier());
    if (!cursor_.TakeName("in")) return cursor_.Error("\"in\" expected");
    SPARSED_ASSIGN_OR_RETURN(statement->expression, ParseIterable(&cursor_));
    SPARSED_RETURN_IF_ERROR(EndOfTag());
    std::string tag;
    SPARSED_ASSIGN_OR_RETURN(tag, Body(&statement->branches.emplace_back().body));
    if (tag == "else") {
      SPARSED_RETURN_IF_ERROR(EndOfTag());
      SPARSED_ASSIGN_OR_RETURN(tag, Body(&statement->branches.emplace_back().body));
    }
    if (tag.empty()) return cursor_.Error("for without endfor");
    if (tag != "endfor") return cursor_.Error(absl::StrCat("unexpected tag ", tag));
    return EndOfTag();
  }

  TokenCursor cursor_;
  int nesting_ = 0;
};

}  // namespace

absl::StatusOr<Statements> ParseTemplate(const std::string& source) {
  SPARSED_ASSIGN_OR_RETURN(const std::vector<TemplateToken> tokens, LexTemplate(source));
  return StatementParser(&tokens).Run();
}

}  // namespace sparsed::engine
