#include "engine/mass_budgets.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

#include "engine/status_macros.h"

namespace sparsed::engine {
namespace {

constexpr int32_t kParts = 64;       // of the columns, in which they are given away
constexpr int32_t kLeastParts = 10;  // of the uniform budget; one of them every head keeps

// Columns that a head would take at once, after `first` of its own.
struct Portion {
  size_t head = 0;
  int32_t first = 0;
  int32_t columns = 0;
  double mass = 0;

  double MassOfColumn() const { return mass / columns; }
};

// Joins to a portion those before it that give less a column than it does, so that what a head
// takes next never gives more than what it has taken.
void AddPortion(Portion portion, size_t first_of_head, std::vector<Portion>& portions) {
  while (portions.size() > first_of_head &&
         portions.back().MassOfColumn() < portion.MassOfColumn()) {
    portion.first = portions.back().first;
    portion.columns += portions.back().columns;
    portion.mass += portions.back().mass;
    portions.pop_back();
  }
  portions.push_back(portion);
}

// The columns by falling importance, ties to the lower one, as backends rank them.
void RankByImportance(std::span<const float> importance, std::vector<int32_t>& order) {
  order.resize(importance.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [importance](int32_t a, int32_t b) {
    const uint32_t left = std::bit_cast<uint32_t>(importance[a]);
    const uint32_t right = std::bit_cast<uint32_t>(importance[b]);
    return left != right ? left > right : a < b;
  });
}

// A step whose logits are NaN ends its request; until then nothing may go wrong with the numbers.
double Mass(float importance) { return std::isfinite(importance) ? importance : 0; }

}  // namespace

std::vector<int32_t> SplitColumns(std::span<const MassCurve> curves, int32_t uniform) {
  const auto n = static_cast<int32_t>(curves.front().size()) - 1;
  const int32_t least = std::max(1, uniform / kLeastParts);
  const int32_t part = std::max(1, n / kParts);
  std::vector<Portion> portions;
  for (size_t head = 0; head < curves.size(); ++head) {
    const size_t first_of_head = portions.size();
    for (int32_t first = least; first < n; first += part) {
      const int32_t columns = std::min(part, n - first);
      const double mass = curves[head][first + columns] - curves[head][first];
      AddPortion({head, first, columns, mass}, first_of_head, portions);
    }
  }
  // Where all give the same, all heads get the same.
  std::stable_sort(portions.begin(), portions.end(), [](const Portion& a, const Portion& b) {
    const double left = a.MassOfColumn();
    const double right = b.MassOfColumn();
    return left != right ? left > right : a.first < b.first;
  });
  std::vector<int32_t> counts(curves.size(), least);
  int64_t left = static_cast<int64_t>(curves.size()) * (uniform - least);
  for (const Portion& portion : portions) {
    const auto taken = static_cast<int32_t>(std::min<int64_t>(left, portion.columns));
    counts[portion.head] += taken;
    left -= taken;
  }
  // The least that each keeps, and a last portion that was cut, may have cost more than was won.
  double won = 0;
  for (size_t head = 0; head < curves.size(); ++head) {
    won += curves[head][counts[head]] - curves[head][uniform];
  }
  if (won < 0) std::fill(counts.begin(), counts.end(), uniform);
  return counts;
}

int64_t MassBudgets::DeviceBytes(const SparsePlan& plan, const ModelInfo& model) {
  return TileProbe::DeviceBytes(plan, model, TileProbe::Sides::kAllAndCanvas) +
         int64_t{model.num_layers} * model.num_heads * static_cast<int64_t>(sizeof(HeadCounts));
}

absl::StatusOr<MassBudgets> MassBudgets::Create(kernels::Backend& backend, const SparsePlan& plan,
                                                const ModelInfo& model) {
  SPARSED_ASSIGN_OR_RETURN(
      TileProbe probe,
      TileProbe::Create(backend, plan, model, TileProbe::Sides::kAllAndCanvas, SelectionOf(plan)));
  SPARSED_ASSIGN_OR_RETURN(
      kernels::Buffer counts,
      backend.Alloc(sizeof(HeadCounts) * static_cast<size_t>(model.num_layers) * model.num_heads));
  return MassBudgets(plan, std::move(probe), std::move(counts));
}

ProbePlan MassBudgets::Probe(const Request& request, int32_t step) {
  return probe_.Draw(request, step, kernels::RandomStream::kBudgets);
}

absl::StatusOr<std::vector<HeadCounts>> MassBudgets::Read(kernels::Backend& backend) const {
  const int32_t n = probe_.num_blocks();
  const int32_t canvas_blocks = probe_.canvas_blocks();
  const int32_t heads = probe_.num_heads();
  std::vector<MassCurve> prompt(int64_t{probe_.num_layers()} * heads, MassCurve(n + 1, 0));
  std::vector<MassCurve> canvas(prompt.size(), MassCurve(canvas_blocks + 1, 0));
  std::vector<float> importance;
  std::vector<float> canvas_importance;
  std::vector<int32_t> order;
  for (int32_t layer = 0; layer < probe_.num_layers(); ++layer) {
    SPARSED_RETURN_IF_ERROR(probe_.Read(backend, layer, importance));
    SPARSED_RETURN_IF_ERROR(probe_.ReadCanvas(backend, layer, canvas_importance));
    const int64_t rows_of_head = probe_.query_blocks(layer);
    // Of a query, since a sequence's last tile has fewer of them.
    const double share = 1.0 / static_cast<double>(probe_.queries(layer).num_tokens);
    for (int64_t row = 0; row < heads * rows_of_head; ++row) {
      const size_t curve = int64_t{layer} * heads + row / rows_of_head;
      const auto mass = std::span(importance).subspan(row * n, n);
      // What the prompt side's choice covers: columns of the canvas that are among its best are
      // dropped, whatever mass they have.
      RankByImportance(mass, order);
      for (int32_t k = 0; k < n; ++k) {
        if (order[k] < first_canvas_block_) prompt[curve][k + 1] += share * Mass(mass[order[k]]);
      }
      RankByImportance(std::span(canvas_importance).subspan(row * canvas_blocks, canvas_blocks),
                       order);
      for (int32_t k = 0; k < canvas_blocks; ++k) {
        canvas[curve][k + 1] += share * Mass(mass[first_canvas_block_ + order[k]]);
      }
    }
  }
  for (std::vector<MassCurve>* curves : {&prompt, &canvas}) {
    for (MassCurve& curve : *curves) std::partial_sum(curve.begin(), curve.end(), curve.begin());
  }
  std::vector<HeadCounts> counts(prompt.size());
  const std::vector<int32_t> of_prompt = SplitColumns(prompt, keep_prompt_);
  for (size_t i = 0; i < counts.size(); ++i) counts[i].prompt = of_prompt[i];
  if (canvas_blocks == 0) return counts;
  const std::vector<int32_t> of_canvas = SplitColumns(canvas, keep_canvas_);
  for (size_t i = 0; i < counts.size(); ++i) counts[i].canvas = of_canvas[i];
  return counts;
}

absl::Status MassBudgets::Upload(kernels::Backend& backend, std::span<const HeadCounts> counts) {
  return backend.CopyIn(counts_.data(), counts.data(), counts.size_bytes());
}

}  // namespace sparsed::engine
