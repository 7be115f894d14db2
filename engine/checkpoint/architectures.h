// What config.json calls the model, whether or not we know it.
#pragma once

#include <string>
#include <vector>

namespace sparsed::engine {

// The strings of `architectures`; none where dir/config.json cannot say.
std::vector<std::string> ReadArchitectures(const std::string& dir);

}  // namespace sparsed::engine
