#include "engine/recall_monitor.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "engine/inspection.h"
#include "engine/status_macros.h"
#include "kernels/rng.h"

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

// Floats of one layer: [H, query blocks of a tile, n].
int64_t ImportanceFloats(const SparsePlan& plan, const ModelInfo& model) {
  const int64_t query_blocks =
      std::min<int64_t>(RecallMonitor::kQueries / plan.block_size, plan.num_blocks);
  return model.num_heads * query_blocks * plan.num_blocks;
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
  return PatternBytes(plan, model) +
         model.num_layers * ImportanceFloats(plan, model) * static_cast<int64_t>(sizeof(float));
}

absl::StatusOr<RecallMonitor> RecallMonitor::Create(kernels::Backend& backend,
                                                    const SparsePlan& plan,
                                                    const ModelInfo& model) {
  SPARSED_ASSIGN_OR_RETURN(kernels::Buffer memory, backend.Alloc(DeviceBytes(plan, model)));
  return RecallMonitor(plan, model, std::move(memory));
}

RecallMonitor::RecallMonitor(const SparsePlan& plan, const ModelInfo& model, kernels::Buffer memory)
    : selection_(SelectionOf(plan)),
      memory_(std::move(memory)),
      masks_(model.num_layers, PatternView(plan, model)),
      queries_(model.num_layers) {
  // The recall is of the attention's softmax, whatever the request selects by.
  selection_.scale = static_cast<float>(1.0 / std::sqrt(model.head_dim));
  float* next = reinterpret_cast<float*>(memory_.as<char>() + PatternBytes(plan, model));
  for (kernels::BlockMaskView& mask : masks_) {
    mask.bits = memory_.as<uint64_t>();
    importances_.push_back(next);
    next += ImportanceFloats(plan, model);
  }
}

ProbePlan RecallMonitor::Probe(const Request& request, int32_t step) {
  const auto num_tokens = static_cast<int64_t>(request.ids.size());
  for (size_t layer = 0; layer < queries_.size(); ++layer) {
    const kernels::PhiloxBlock bits = kernels::RandomBits(
        request.sampling.seed, static_cast<uint32_t>(step), static_cast<uint32_t>(layer),
        /*index=*/0, kernels::RandomStream::kRecall);
    const uint64_t drawn = uint64_t{bits[0]} * request.canvas.size() >> 32;
    const int64_t first = request.canvas[drawn] / kQueries * kQueries;
    queries_[layer] = {first, std::min(kQueries, num_tokens - first), /*first_row=*/0};
  }
  return {selection_, masks_, importances_, queries_};
}

absl::StatusOr<double> RecallMonitor::Read(kernels::Backend& backend,
                                           std::span<const int32_t> canvas,
                                           std::span<const kernels::BlockMaskView> in_use) const {
  double sum = 0;
  std::vector<float> importance;
  std::vector<uint64_t> bits;
  for (size_t layer = 0; layer < queries_.size(); ++layer) {
    const kernels::BlockMaskView& mask = in_use[layer];
    const kernels::QueryRange& queries = queries_[layer];
    const int64_t query_blocks = (queries.num_tokens + mask.block_size - 1) / mask.block_size;
    importance.resize(mask.num_heads * query_blocks * mask.num_blocks);
    SPARSED_RETURN_IF_ERROR(
        backend.CopyOut(importance.data(), importances_[layer], importance.size() * sizeof(float)));
    // The layer's pattern whole: one copy is quicker than one for the few rows of every head.
    bits.resize(mask.Bytes() / sizeof(uint64_t));
    SPARSED_RETURN_IF_ERROR(backend.CopyOut(bits.data(), mask.bits, mask.Bytes()));
    sum += LayerRecall(importance, mask, bits, queries, canvas);
  }
  return sum / static_cast<double>(queries_.size());
}

}  // namespace sparsed::engine
