// Text that a flag gives or that is read from standard input.
#pragma once

#include <string>

namespace sparsed::clients {

// `value`, or for "-" all of standard input without one newline at its end.
std::string TextOrStdin(const std::string& value);

}  // namespace sparsed::clients
