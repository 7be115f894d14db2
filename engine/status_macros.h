// Early return on error, for absl::Status and absl::StatusOr.
#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define SPARSED_RETURN_IF_ERROR(expression)                                                      \
  do {                                                                                           \
    if (absl::Status sparsed_status = (expression); !sparsed_status.ok()) return sparsed_status; \
  } while (false)

#define SPARSED_CONCAT_INNER(a, b) a##b
#define SPARSED_CONCAT(a, b) SPARSED_CONCAT_INNER(a, b)
#define SPARSED_ASSIGN_OR_RETURN_INNER(result, target, expression) \
  auto result = (expression);                                      \
  if (!result.ok()) return result.status();                        \
  target = std::move(result).value()
// SPARSED_ASSIGN_OR_RETURN(auto x, F()): x = the value of F(), or return its error.
#define SPARSED_ASSIGN_OR_RETURN(target, expression) \
  SPARSED_ASSIGN_OR_RETURN_INNER(SPARSED_CONCAT(sparsed_result_, __LINE__), target, expression)
