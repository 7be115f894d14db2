#include "engine/inspection.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>
#include <utility>

#include "engine/status_macros.h"
#include "kernels/check.h"

namespace sparsed::engine {
namespace {

constexpr int64_t kAlignment = 64;  // of each layer's importances in the buffer

kernels::BlockMaskView MaskOf(const SparsePlan& plan, const ModelInfo& model) {
  return {nullptr, model.num_heads, plan.num_blocks, plan.block_size};
}

int64_t MaskBytes(const SparsePlan& plan, const ModelInfo& model) {
  const int64_t bytes = MaskOf(plan, model).Bytes();
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

int64_t ImportanceBytes(const SparsePlan& plan, const ModelInfo& model) {
  const int64_t values = int64_t{model.num_heads} * plan.num_blocks * plan.num_blocks;
  return (values * static_cast<int64_t>(sizeof(float)) + kAlignment - 1) / kAlignment * kAlignment;
}

// Ascending, each once; all of [0, count) where nothing is named.
std::vector<int32_t> Choice(std::vector<int32_t> named, int32_t count) {
  if (named.empty()) {
    named.resize(count);
    std::iota(named.begin(), named.end(), 0);
  }
  std::sort(named.begin(), named.end());
  named.erase(std::unique(named.begin(), named.end()), named.end());
  return named;
}

}  // namespace

double KeptShare(std::span<const float> importance, std::span<const uint64_t> kept, int32_t n) {
  const size_t words = (static_cast<size_t>(n) + 63) / 64;
  const size_t rows = importance.size() / n;
  SPARSED_CHECK(importance.size() == rows * n && kept.size() == rows * words,
                "importances and pattern of different sizes");
  double all = 0;
  double covered = 0;
  for (size_t query = 0; query < rows; ++query) {
    for (int32_t key = 0; key < n; ++key) {
      const double value = importance[query * n + key];
      all += value;
      if ((kept[query * words + key / 64] >> (key % 64) & 1) != 0) covered += value;
    }
  }
  return all > 0 ? covered / all : 1;
}

double JaccardIndex(std::span<const uint64_t> a, std::span<const uint64_t> b) {
  SPARSED_CHECK(a.size() == b.size(), "patterns of different sizes");
  int64_t both = 0;
  int64_t either = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    both += std::popcount(a[i] & b[i]);
    either += std::popcount(a[i] | b[i]);
  }
  return either > 0 ? static_cast<double>(both) / static_cast<double>(either) : 1;
}

double LeastJaccardIndex(std::span<const uint64_t> a, std::span<const uint64_t> b, size_t parts) {
  SPARSED_CHECK(a.size() == b.size() && a.size() % parts == 0, "patterns of different sizes");
  const size_t words = a.size() / parts;
  double least = 1;
  for (size_t first = 0; first < a.size(); first += words) {
    least = std::min(least, JaccardIndex(a.subspan(first, words), b.subspan(first, words)));
  }
  return least;
}

InspectParams ResolveInspection(const InspectParams& params, const SparsePlan& plan,
                                const ModelInfo& model) {
  InspectParams resolved;
  resolved.layers = Choice(params.layers, model.num_layers);
  resolved.heads = Choice(params.heads, model.num_heads);
  resolved.steps = params.steps;
  if (plan.used) resolved.steps.push_back(plan.select_step);
  resolved.steps = Choice(std::move(resolved.steps), 0);
  resolved.importance = params.importance;
  return resolved;
}

int64_t Inspection::DeviceBytes(const InspectParams& resolved, const SparsePlan& plan,
                                const ModelInfo& model) {
  return static_cast<int64_t>(resolved.layers.size()) *
         (MaskBytes(plan, model) + ImportanceBytes(plan, model));
}

int64_t Inspection::HostBytes(const InspectParams& resolved, const SparsePlan& plan) {
  const auto heads = static_cast<int64_t>(resolved.layers.size() * resolved.heads.size());
  const auto steps = static_cast<int64_t>(resolved.steps.size());
  const int64_t n = plan.num_blocks;
  const int64_t pattern = (n + 63) / 64 * n * static_cast<int64_t>(sizeof(uint64_t));
  // Once to be returned and once to compare with.
  int64_t of_head = static_cast<int64_t>(sizeof(InspectedHead)) + 2 * pattern +
                    steps * static_cast<int64_t>(sizeof(double));
  if (resolved.importance) of_head += n * n * static_cast<int64_t>(sizeof(float));
  return steps * heads * of_head;
}

absl::StatusOr<Inspection> Inspection::Create(kernels::Backend& backend,
                                              const InspectParams& resolved, const SparsePlan& plan,
                                              const ModelInfo& model) {
  SPARSED_ASSIGN_OR_RETURN(kernels::Buffer memory,
                           backend.Alloc(DeviceBytes(resolved, plan, model)));
  return Inspection(resolved, plan, model, std::move(memory));
}

Inspection::Inspection(const InspectParams& resolved, const SparsePlan& plan,
                       const ModelInfo& model, kernels::Buffer memory)
    : params_(resolved),
      selection_(SelectionOf(plan)),
      num_blocks_(plan.num_blocks),
      mass_is_attention_(plan.scale == static_cast<float>(1.0 / std::sqrt(model.head_dim))),
      memory_(std::move(memory)),
      masks_(model.num_layers, MaskOf(plan, model)),
      importances_(model.num_layers, nullptr) {
  char* next = memory_.as<char>();
  for (const int32_t layer : params_.layers) {
    masks_[layer].bits = reinterpret_cast<uint64_t*>(next);
    next += MaskBytes(plan, model);
    importances_[layer] = reinterpret_cast<float*>(next);
    next += ImportanceBytes(plan, model);
  }
}

bool Inspection::Wants(int32_t step) const {
  return std::binary_search(params_.steps.begin(), params_.steps.end(), step);
}

ProbePlan Inspection::Probe() const {
  ProbePlan plan;
  plan.selection = selection_;
  plan.masks = masks_;
  plan.importances = importances_;
  return plan;
}

absl::StatusOr<InspectedStep> Inspection::Read(
    kernels::Backend& backend, int32_t step, StepKind kind,
    std::span<const kernels::BlockMaskView> in_use) const {
  InspectedStep result;
  result.step = step;
  result.kind = kind;
  result.heads.reserve(params_.layers.size() * params_.heads.size());
  for (const int32_t layer : params_.layers) {
    for (const int32_t number : params_.heads) {
      InspectedHead head;
      head.layer = layer;
      head.head = number;
      SPARSED_RETURN_IF_ERROR(ReadHead(backend, kind, in_use, result.heads.size(), head));
      result.heads.push_back(std::move(head));
    }
  }
  return result;
}

absl::StatusOr<std::vector<uint64_t>> Inspection::ReadRows(kernels::Backend& backend,
                                                           const kernels::BlockMaskView& mask,
                                                           int32_t head) const {
  std::vector<uint64_t> rows(num_blocks_ * mask.WordsPerRow());
  SPARSED_RETURN_IF_ERROR(
      backend.CopyOut(rows.data(), mask.Row(head, 0), rows.size() * sizeof(uint64_t)));
  return rows;
}

absl::Status Inspection::ReadHead(kernels::Backend& backend, StepKind kind,
                                  std::span<const kernels::BlockMaskView> in_use, size_t index,
                                  InspectedHead& head) const {
  const int64_t n = num_blocks_;
  SPARSED_ASSIGN_OR_RETURN(head.kept, ReadRows(backend, masks_[head.layer], head.head));
  head.similarity.reserve(history_.size() + 1);
  for (const auto& before : history_) {
    head.similarity.push_back(JaccardIndex(head.kept, before[index]));
  }
  head.similarity.push_back(1);
  if (!mass_is_attention_ && !params_.importance) return absl::OkStatus();

  std::vector<float> importance(n * n);
  SPARSED_RETURN_IF_ERROR(backend.CopyOut(importance.data(),
                                          importances_[head.layer] + head.head * n * n,
                                          importance.size() * sizeof(float)));
  if (mass_is_attention_) {
    head.fresh_recall = KeptShare(importance, head.kept, num_blocks_);
    if (kind == StepKind::kSelect) head.recall = head.fresh_recall;
    if (kind == StepKind::kSparse) {
      SPARSED_ASSIGN_OR_RETURN(const std::vector<uint64_t> kept,
                               ReadRows(backend, in_use[head.layer], head.head));
      head.recall = KeptShare(importance, kept, num_blocks_);
    }
  }
  if (params_.importance) head.importance = std::move(importance);
  return absl::OkStatus();
}

void Inspection::Remember(const InspectedStep& step) {
  std::vector<std::vector<uint64_t>>& patterns = history_.emplace_back();
  patterns.reserve(step.heads.size());
  for (const InspectedHead& head : step.heads) patterns.push_back(head.kept);
}

}  // namespace sparsed::engine
