#include "engine/recall_monitor.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "engine/inspection.h"
#include "engine/status_macros.h"

namespace sparsed::engine {
namespace {

// The recall is of the attention's softmax, whatever the request selects by.
kernels::BlockSelection AttentionSelection(const SparsePlan& plan, const ModelInfo& model) {
  kernels::BlockSelection selection = SelectionOf(plan);
  selection.scale = static_cast<float>(1.0 / std::sqrt(model.head_dim));
  return selection;
}

// The mean over those canvas positions that are among the queries: of each its query block's share
// of mass in the kept blocks, the mean of all heads. importance [H, query blocks, n]; bits: of the
// whole pattern.
double LayerRecall(std::span<const float> importance, const kernels::BlockMaskView& in_use,
                   std::span<const uint64_t> bits, const kernels::QueryRange& queries,
                   std::span<const int32_t> canvas) {
  const int64_t block_size = in_use.block_size;
  const int64_t n = in_use.num_blocks;
  const int64_t words = in_use.WordsPerRow();
  const int64_t query_blocks = (queries.num_tokens + block_size - 1) / block_size;
  double sum = 0;
  int64_t positions = 0;
  for (int64_t block = 0; block < query_blocks; ++block) {
    const int64_t first = queries.first_token + block * block_size;
    const auto from = std::lower_bound(canvas.begin(), canvas.end(), first);
    const auto to = std::lower_bound(from, canvas.end(), first + block_size);
    if (from == to) continue;
    double heads = 0;
    for (int64_t head = 0; head < in_use.num_heads; ++head) {
      const int64_t row = head * n + first / block_size;
      heads += KeptShare(importance.subspan((head * query_blocks + block) * n, n),
                         bits.subspan(row * words, words), static_cast<int32_t>(n));
    }
    sum += static_cast<double>(to - from) * heads / in_use.num_heads;
    positions += to - from;
  }
  return sum / static_cast<double>(positions);
}

}  // namespace

int64_t RecallMonitor::DeviceBytes(const SparsePlan& plan, const ModelInfo& model) {
  return TileProbe::DeviceBytes(plan, model, TileProbe::Sides::kAll);
}

absl::StatusOr<RecallMonitor> RecallMonitor::Create(kernels::Backend& backend,
                                                    const SparsePlan& plan,
                                                    const ModelInfo& model) {
  SPARSED_ASSIGN_OR_RETURN(TileProbe probe,
                           TileProbe::Create(backend, plan, model, TileProbe::Sides::kAll,
                                             AttentionSelection(plan, model)));
  return RecallMonitor(std::move(probe));
}

ProbePlan RecallMonitor::Probe(const Request& request, int32_t step) {
  return probe_.Draw(request, step, kernels::RandomStream::kRecall);
}

absl::StatusOr<double> RecallMonitor::Read(kernels::Backend& backend,
                                           std::span<const int32_t> canvas,
                                           std::span<const kernels::BlockMaskView> in_use) const {
  double sum = 0;
  std::vector<float> importance;
  std::vector<uint64_t> bits;
  for (int32_t layer = 0; layer < probe_.num_layers(); ++layer) {
    const kernels::BlockMaskView& mask = in_use[layer];
    SPARSED_RETURN_IF_ERROR(probe_.Read(backend, layer, importance));
    // The layer's pattern whole, in one copy: the rows of a tile lie apart, head by head.
    bits.resize(mask.Bytes() / sizeof(uint64_t));
    SPARSED_RETURN_IF_ERROR(backend.CopyOut(bits.data(), mask.bits, mask.Bytes()));
    sum += LayerRecall(importance, mask, bits, probe_.queries(layer), canvas);
  }
  return sum / probe_.num_layers();
}

}  // namespace sparsed::engine
