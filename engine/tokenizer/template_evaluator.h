// The value of an expression of a chat template.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/tokenizer/template_ast.h"
#include "engine/tokenizer/template_value.h"

namespace sparsed::engine {

// No text of a template may grow longer than this.
inline constexpr size_t kMaxTemplateText = size_t{1} << 26;

// Variables, innermost scope last. A name not set anywhere is undefined.
class TemplateScopes {
 public:
  void Push() { scopes_.emplace_back(); }
  void Pop() { scopes_.pop_back(); }
  void Set(const std::string& name, Value value) { scopes_.back()[name] = std::move(value); }
  Value Get(const std::string& name) const;

 private:
  std::vector<ValueMap> scopes_ = std::vector<ValueMap>(1);
};

// Errors: INVALID_ARGUMENT naming the line, where Jinja2 would raise (raise_exception, undefined
// values that are used, types that do not fit) and where a text grows too long.
absl::StatusOr<Value> Evaluate(const Expression& expression, const TemplateScopes& scopes);

}  // namespace sparsed::engine
