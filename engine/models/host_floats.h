// What the loader computes on the host.
#pragma once

#include <vector>

#include "engine/model_info.h"
#include "kernels/tensor_view.h"

namespace sparsed::engine {

// Exactly, from any float type.
std::vector<float> ToFloats(const kernels::HostMatrix& matrix);

// [max_tokens, D], row p: the cosines of the angles p / theta^(2j/D), j < D/2, then their sines.
// Angles are float32 as in the reference, so that large positions are rotated by exactly its
// angles.
std::vector<float> RopeTable(const ModelInfo& info, kernels::DType activations);

}  // namespace sparsed::engine
