// Which instruction sets this build holds, and which this processor runs.
#pragma once

#include <vector>

#include "kernels/cpu/vector_ops.h"

namespace sparsed::kernels {

enum class Isa { kBaseline, kAvx2, kAvx512 };

// Narrowest first; the last is the one to use.
std::vector<Isa> SupportedIsas();

// `isa` must be one of SupportedIsas().
const VectorOps& VectorOpsFor(Isa isa);

}  // namespace sparsed::kernels
