// The patterns of one sequence: one block mask per pass (two with guidance) and layer, in the
// backend's memory. Reserved whole when the sequence starts, freed with it.
// Next: kernels/block_mask.h
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

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

  // The masks of every layer of one pass; borrowed from the cache.
  std::span<const kernels::BlockMaskView> Layers(int32_t pass) const;
  kernels::BlockMaskView Layer(int32_t pass, int32_t layer) const { return Layers(pass)[layer]; }
  int64_t bytes() const { return static_cast<int64_t>(bits_.bytes()); }

  // *kept = the kept tiles of all passes, layers and heads, counted and left on the device. Call
  // after the select step only. Errors: as the backend's.
  absl::Status CountKept(kernels::Backend& backend, int64_t* kept) const;
  int64_t num_tiles() const;  // kept or not
  // The bits of all passes and layers, on the host. Errors: as the backend's.
  absl::StatusOr<std::vector<uint64_t>> Read(kernels::Backend& backend) const;

 private:
  MaskCache(const Shape& shape, kernels::Buffer bits);

  Shape shape_;
  kernels::Buffer bits_;
  std::vector<kernels::BlockMaskView> views_;  // [num_passes][num_layers]
};

}  // namespace sparsed::engine
