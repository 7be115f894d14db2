#include "engine/tokenizer/template_renderer.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/status_macros.h"
#include "engine/tokenizer/template_functions.h"

namespace sparsed::engine {
namespace {

absl::Status Write(const TrackedText& text, int32_t line, TrackedText* output) {
  if (output->text.size() + text.text.size() > kMaxTemplateText) {
    return TemplateError(line, absl::StrCat("a text of more than ", kMaxTemplateText, " bytes"));
  }
  Append(text, output);
  return absl::OkStatus();
}

Value LoopVariable(const ValueList& items, size_t index) {
  auto loop = std::make_shared<ValueMap>();
  const auto size = static_cast<int64_t>(items.size());
  const auto at = static_cast<int64_t>(index);
  (*loop)["index"] = Value(at + 1);
  (*loop)["index0"] = Value(at);
  (*loop)["revindex"] = Value(size - at);
  (*loop)["revindex0"] = Value(size - at - 1);
  (*loop)["first"] = Value(at == 0);
  (*loop)["last"] = Value(at + 1 == size);
  (*loop)["length"] = Value(size);
  if (at > 0) (*loop)["previtem"] = items[index - 1];
  if (at + 1 < size) (*loop)["nextitem"] = items[index + 1];
  return Value(std::move(loop));
}

absl::Status RunFor(const Statement& statement, TemplateScopes* scopes, TrackedText* output) {
  SPARSED_ASSIGN_OR_RETURN(const Value iterable, Evaluate(*statement.expression, *scopes));
  const ValueList* items = iterable.AsList();
  if (items == nullptr && !iterable.IsUndefined()) {
    return TemplateError(statement.line, absl::StrCat("for over ", TypeName(iterable)));
  }
  for (size_t i = 0; items != nullptr && i < items->size(); ++i) {
    scopes->Push();
    scopes->Set(statement.name, (*items)[i]);
    scopes->Set("loop", LoopVariable(*items, i));
    SPARSED_RETURN_IF_ERROR(RunStatements(statement.branches[0].body, scopes, output));
    scopes->Pop();
  }
  if ((items == nullptr || items->empty()) && statement.branches.size() > 1) {
    return RunStatements(statement.branches[1].body, scopes, output);
  }
  return absl::OkStatus();
}

absl::Status RunIf(const Statement& statement, TemplateScopes* scopes, TrackedText* output) {
  for (const Branch& branch : statement.branches) {
    if (branch.condition != nullptr) {
      SPARSED_ASSIGN_OR_RETURN(const Value condition, Evaluate(*branch.condition, *scopes));
      if (!IsTrue(condition)) continue;
    }
    return RunStatements(branch.body, scopes, output);
  }
  return absl::OkStatus();
}

absl::Status RunStatement(const Statement& statement, TemplateScopes* scopes, TrackedText* output) {
  switch (statement.kind) {
    case StatementKind::kText:
      return Write({statement.text, {}}, statement.line, output);
    case StatementKind::kIf:
      return RunIf(statement, scopes, output);
    case StatementKind::kFor:
      return RunFor(statement, scopes, output);
    default:
      break;
  }
  SPARSED_ASSIGN_OR_RETURN(Value value, Evaluate(*statement.expression, *scopes));
  if (statement.kind == StatementKind::kOutput) {
    TrackedText text;
    if (!ToText(value, &text)) {
      return TemplateError(statement.line, absl::StrCat("output of ", TypeName(value)));
    }
    return Write(text, statement.line, output);
  }
  if (statement.kind == StatementKind::kSet) {
    scopes->Set(statement.name, std::move(value));
    return absl::OkStatus();
  }
  const Value object = scopes->Get(statement.name);
  const auto* fields = object.As<std::shared_ptr<ValueMap>>();
  if (fields == nullptr) {
    return TemplateError(statement.line, absl::StrCat(statement.name, " is not a namespace"));
  }
  // Kept out, so that no namespace can hold itself.
  if (value.AsList() != nullptr || value.AsMap() != nullptr) {
    return TemplateError(statement.line, "a list or mapping in a namespace is not implemented");
  }
  (**fields)[statement.text] = std::move(value);
  return absl::OkStatus();
}

}  // namespace

absl::Status RunStatements(const Statements& statements, TemplateScopes* scopes,
                           TrackedText* output) {
  for (const auto& statement : statements) {
    SPARSED_RETURN_IF_ERROR(RunStatement(*statement, scopes, output));
  }
  return absl::OkStatus();
}

}  // namespace sparsed::engine
