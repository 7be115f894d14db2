#include "engine/mask_cache.h"

#include "engine/status_macros.h"

namespace sparsed::engine {
namespace {

kernels::BlockMaskView ViewAt(const MaskCache::Shape& shape, uint64_t* bits) {
  return {bits, shape.num_heads, shape.num_blocks, shape.block_size};
}

int64_t NumViews(const MaskCache::Shape& shape) {
  return int64_t{shape.num_passes} * shape.num_layers;
}

}  // namespace

int64_t MaskCache::BytesFor(const Shape& shape) {
  return NumViews(shape) * ViewAt(shape, nullptr).Bytes();
}

absl::StatusOr<MaskCache> MaskCache::Create(kernels::Backend& backend, const Shape& shape) {
  SPARSED_ASSIGN_OR_RETURN(kernels::Buffer bits, backend.Alloc(BytesFor(shape)));
  return MaskCache(shape, std::move(bits));
}

MaskCache::MaskCache(const Shape& shape, kernels::Buffer bits)
    : shape_(shape), bits_(std::move(bits)) {
  const int64_t words_per_view = ViewAt(shape, nullptr).Bytes() / 8;
  views_.reserve(NumViews(shape));
  for (int64_t i = 0; i < NumViews(shape); ++i) {
    views_.push_back(ViewAt(shape, bits_.as<uint64_t>() + i * words_per_view));
  }
}

std::span<const kernels::BlockMaskView> MaskCache::Layers(int32_t pass) const {
  return std::span(views_).subspan(int64_t{pass} * shape_.num_layers, shape_.num_layers);
}

absl::Status MaskCache::CountKept(kernels::Backend& backend, int64_t* kept) const {
  return backend.CountBits(bits_.as<uint64_t>(), bytes() / 8, kept);
}

absl::StatusOr<std::vector<uint64_t>> MaskCache::Read(kernels::Backend& backend) const {
  std::vector<uint64_t> bits(bytes() / sizeof(uint64_t));
  SPARSED_RETURN_IF_ERROR(backend.CopyOut(bits.data(), bits_.data(), bits_.bytes()));
  return bits;
}

int64_t MaskCache::num_tiles() const {
  return NumViews(shape_) * shape_.num_heads * shape_.num_blocks * shape_.num_blocks;
}

}  // namespace sparsed::engine
