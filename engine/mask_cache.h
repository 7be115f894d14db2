// The patterns of one sequence: one block mask per pass (two with guidance) and layer, in the
// backend's memory. Reserved whole when the sequence starts, freed with it.
// Next: kernels/block_mask.h
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/backend.h"
#include "kernels/block_mask.h"

namespace sparsed::engine {

class MaskCache {
 public:
  struct Shape {
    int32_t num_passes = 1;
    int32_t num_layers = 0;
    int32_t num_heads = 0;
    int32_t num_blocks = 0;
    int32_t block_size = 0;
  };

  static int64_t BytesFor(const Shape& shape);
  // Errors: RESOURCE_EXHAUSTED.
  static absl::StatusOr<MaskCache> Create(kernels::Backend& backend, const Shape& shape);

  kernels::BlockMaskView Layer(int32_t pass, int32_t layer) const;
  int64_t bytes() const;

  // Kept tiles over all tiles, all passes, layers and heads. Call after the select step only.
  absl::StatusOr<double> Density(kernels::Backend& backend) const;

 private:
  Shape shape_;
  kernels::Buffer bits_;
};

}  // namespace sparsed::engine
