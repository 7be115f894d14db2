#include "engine/tile_probe.h"

#include <algorithm>
#include <utility>

#include "engine/status_macros.h"

namespace sparsed::engine {
namespace {

constexpr int64_t kImportanceAlignment = 64;  // of the importances behind the pattern

kernels::BlockMaskView PatternView(const SparsePlan& plan, const ModelInfo& model) {
  return {nullptr, model.num_heads, plan.num_blocks, plan.block_size};
}

int64_t PatternBytes(const SparsePlan& plan, const ModelInfo& model) {
  return (PatternView(plan, model).Bytes() + kImportanceAlignment - 1) / kImportanceAlignment *
         kImportanceAlignment;
}

int32_t CanvasBlocks(const SparsePlan& plan, TileProbe::Sides sides) {
  const bool wanted = sides == TileProbe::Sides::kAllAndCanvas && plan.isolated;
  return wanted ? plan.num_blocks - plan.first_canvas_block : 0;
}

// Floats of one layer: [H, query blocks of a tile, columns].
int64_t ImportanceFloats(const SparsePlan& plan, const ModelInfo& model, int32_t columns) {
  const int64_t query_blocks =
      std::min<int64_t>(TileProbe::kQueries / plan.block_size, plan.num_blocks);
  return model.num_heads * query_blocks * columns;
}

}  // namespace

int64_t TileProbe::DeviceBytes(const SparsePlan& plan, const ModelInfo& model, Sides sides) {
  const int64_t floats = ImportanceFloats(plan, model, plan.num_blocks) +
                         ImportanceFloats(plan, model, CanvasBlocks(plan, sides));
  return PatternBytes(plan, model) + model.num_layers * floats * int64_t{sizeof(float)};
}

absl::StatusOr<TileProbe> TileProbe::Create(kernels::Backend& backend, const SparsePlan& plan,
                                            const ModelInfo& model, Sides sides,
                                            const kernels::BlockSelection& selection) {
  SPARSED_ASSIGN_OR_RETURN(kernels::Buffer memory, backend.Alloc(DeviceBytes(plan, model, sides)));
  return TileProbe(plan, model, sides, selection, std::move(memory));
}

TileProbe::TileProbe(const SparsePlan& plan, const ModelInfo& model, Sides sides,
                     const kernels::BlockSelection& selection, kernels::Buffer memory)
    : selection_(selection),
      canvas_blocks_(CanvasBlocks(plan, sides)),
      memory_(std::move(memory)),
      masks_(model.num_layers, PatternView(plan, model)),
      queries_(model.num_layers) {
  float* next = reinterpret_cast<float*>(memory_.as<char>() + PatternBytes(plan, model));
  for (kernels::BlockMaskView& mask : masks_) {
    mask.bits = memory_.as<uint64_t>();
    importances_.push_back(next);
    next += ImportanceFloats(plan, model, plan.num_blocks);
    if (canvas_blocks_ == 0) continue;
    canvas_importances_.push_back(next);
    next += ImportanceFloats(plan, model, canvas_blocks_);
  }
}

ProbePlan TileProbe::Draw(const Request& request, int32_t step, kernels::RandomStream stream) {
  const auto num_tokens = static_cast<int64_t>(request.ids.size());
  for (size_t layer = 0; layer < queries_.size(); ++layer) {
    const kernels::PhiloxBlock bits =
        kernels::RandomBits(request.sampling.seed, static_cast<uint32_t>(step),
                            static_cast<uint32_t>(layer), /*index=*/0, stream);
    const uint64_t drawn = uint64_t{bits[0]} * request.canvas.size() >> 32;
    const int64_t first = request.canvas[drawn] / kQueries * kQueries;
    queries_[layer] = {first, std::min(kQueries, num_tokens - first), /*first_row=*/0};
  }
  ProbePlan plan;
  plan.selection = selection_;
  plan.masks = masks_;
  plan.importances = importances_;
  plan.canvas_importances = canvas_importances_;
  plan.queries = queries_;
  return plan;
}

int64_t TileProbe::query_blocks(int32_t layer) const {
  const int64_t block_size = masks_[layer].block_size;
  return (queries_[layer].num_tokens + block_size - 1) / block_size;
}

absl::Status TileProbe::Read(kernels::Backend& backend, int32_t layer,
                             std::vector<float>& importance) const {
  return ReadFrom(backend, layer, importances_[layer], num_blocks(), importance);
}

absl::Status TileProbe::ReadCanvas(kernels::Backend& backend, int32_t layer,
                                   std::vector<float>& importance) const {
  importance.clear();
  if (canvas_blocks_ == 0) return absl::OkStatus();
  return ReadFrom(backend, layer, canvas_importances_[layer], canvas_blocks_, importance);
}

absl::Status TileProbe::ReadFrom(kernels::Backend& backend, int32_t layer, const float* device,
                                 int64_t columns, std::vector<float>& importance) const {
  importance.resize(num_heads() * query_blocks(layer) * columns);
  return backend.CopyOut(importance.data(), device, importance.size() * sizeof(float));
}

}  // namespace sparsed::engine
