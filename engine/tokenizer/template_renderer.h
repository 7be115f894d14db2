// Runs the statements of a chat template.
#pragma once

#include "absl/status/status.h"
#include "engine/tokenizer/template_ast.h"
#include "engine/tokenizer/template_evaluator.h"

namespace sparsed::engine {

// Appends what the statements write. A set inside a for stays inside it, one inside an if does not.
// Errors: as Evaluate.
absl::Status RunStatements(const Statements& statements, TemplateScopes* scopes,
                           TrackedText* output);

}  // namespace sparsed::engine
