// The filters, tests and string methods that a chat template may use.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/tokenizer/template_value.h"

namespace sparsed::engine {

// value | name(arguments), value is name, value.name(arguments). The parser has checked that `name`
// exists and takes that many arguments.
struct FunctionCall {
  std::string name;
  int32_t line = 1;
  Value value;
  std::vector<Value> arguments;
};

// Errors: INVALID_ARGUMENT naming the line, where the types do not fit.
absl::StatusOr<Value> ApplyFilter(const FunctionCall& call);
absl::StatusOr<Value> ApplyTest(const FunctionCall& call);
absl::StatusOr<Value> CallMethod(const FunctionCall& call);

int64_t CountCharacters(std::string_view text);
absl::Status TemplateError(int32_t line, const std::string& problem);

}  // namespace sparsed::engine
