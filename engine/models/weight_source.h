// Where a model's weights come from: a checkpoint, or a generator of random ones.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/tensor_view.h"

namespace sparsed::engine {

// A weight on the host for as long as it takes to pack it. `storage` holds the elements where they
// are not borrowed from a mapping; `release`, if any, is called once the matrix is packed.
struct SourceMatrix {
  kernels::HostMatrix matrix;
  std::vector<uint16_t> storage;
  std::function<void()> release = {};
};

// Gives the tensor of that name, in the checkpoint's naming, as [rows, cols]; a vector is [1, n].
using WeightSource = std::function<absl::StatusOr<SourceMatrix>(const std::string& name,
                                                                int64_t rows, int64_t cols)>;

}  // namespace sparsed::engine
