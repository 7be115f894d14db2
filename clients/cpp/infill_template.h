// The text form of an infill request: `The capital of {{4}} is Paris{{2}}.`
#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "sparsed/v1/generation.pb.h"

namespace sparsed::clients {

// Parses a template. `{{N}}` is a hole of N tokens (1 to 4294967295, spaces around N allowed);
// everything else is fixed text. A backslash directly before `{{` makes the braces text, and two
// backslashes there are one backslash and then a hole; elsewhere a backslash is itself.
// Errors: INVALID_ARGUMENT with the byte column, counted from 1; also for a template without holes.
absl::StatusOr<v1::Infill> ParseInfillTemplate(std::string_view text);

}  // namespace sparsed::clients
