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
  double kept = 0;

  double MassOfKept() const { return kept > 0 ? mass / kept : 0; }
};

// Joins to a portion those before it that give less a kept column than it does, so that what a head
// takes next never gives more than what it has taken.
void AddPortion(Portion portion, size_t first_of_head, std::vector<Portion>& portions) {
  while (portions.size() > first_of_head && portions.back().MassOfKept() < portion.MassOfKept()) {
    portion.first = portions.back().first;
    portion.columns += portions.back().columns;
    portion.mass += portions.back().mass;
    portion.kept += portions.back().kept;
    portions.pop_back();
  }
  portions.push_back(portion);
}

// What a head keeps beyond the least that every head keeps, by falling mass.
void AddPortions(const MassCurve& curve, size_t head, int32_t least,
                 std::vector<Portion>& portions) {
  const auto n = static_cast<int32_t>(curve.mass.size()) - 1;
  const int32_t part = std::max(1, n / kParts);
  const size_t first_of_head = portions.size();
  for (int32_t first = least; first < n; first += part) {
    const int32_t end = std::min(first + part, n);
    AddPortion({head, first, end - first, curve.mass[end] - curve.mass[first],
                curve.kept[end] - curve.kept[first]},
               first_of_head, portions);
  }
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

MassCurve EmptyCurve(int32_t n) {
  return {std::vector<double>(n + 1, 0), std::vector<double>(n + 1, 0)};
}

}  // namespace

std::vector<int32_t> SplitColumns(std::span<const MassCurve> curves, int32_t uniform) {
  constexpr double kRounding = 1e-6;  // of sums of kept columns
  const int32_t least = std::max(1, uniform / kLeastParts);
  std::vector<Portion> portions;
  double left = kRounding;  // columns that may still be kept
  for (size_t head = 0; head < curves.size(); ++head) {
    AddPortions(curves[head], head, least, portions);
    left += curves[head].kept[uniform] - curves[head].kept[least];
  }
  // Where all give the same, all heads get the same.
  std::stable_sort(portions.begin(), portions.end(), [](const Portion& a, const Portion& b) {
    const double left_mass = a.MassOfKept();
    const double right_mass = b.MassOfKept();
    return left_mass != right_mass ? left_mass > right_mass : a.first < b.first;
  });
  std::vector<int32_t> counts(curves.size(), least);
  for (const Portion& portion : portions) {
    const std::vector<double>& kept = curves[portion.head].kept;
    int32_t& count = counts[portion.head];
    if (count != portion.first) continue;  // the portion before was cut: there was no room for it
    const int32_t end = portion.first + portion.columns;
    while (count < end) {
      const double more = kept[count + 1] - kept[count];
      if (0.5 * more > left) break;  // of what some rows keep and others not at least half fits
      left -= more;
      ++count;
    }
  }
  // The least that each keeps, and portions that were cut, may have cost more than was won.
  double won = 0;
  for (size_t head = 0; head < curves.size(); ++head) {
    won += curves[head].mass[counts[head]] - curves[head].mass[uniform];
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
  std::vector<MassCurve> prompt(int64_t{probe_.num_layers()} * heads, EmptyCurve(n));
  std::vector<MassCurve> canvas(prompt.size(), EmptyCurve(canvas_blocks));
  std::vector<float> importance;
  std::vector<float> canvas_importance;
  std::vector<int32_t> order;
  for (int32_t layer = 0; layer < probe_.num_layers(); ++layer) {
    SPARSED_RETURN_IF_ERROR(probe_.Read(backend, layer, importance));
    SPARSED_RETURN_IF_ERROR(probe_.ReadCanvas(backend, layer, canvas_importance));
    const int64_t rows_of_head = probe_.query_blocks(layer);
    // The mean of the rows, by query: a sequence's last tile has fewer of them.
    const double of_row = 1.0 / static_cast<double>(rows_of_head);
    const double of_query = 1.0 / static_cast<double>(probe_.queries(layer).num_tokens);
    for (int64_t row = 0; row < heads * rows_of_head; ++row) {
      const size_t curve = int64_t{layer} * heads + row / rows_of_head;
      const auto mass = std::span(importance).subspan(row * n, n);
      RankByImportance(mass, order);
      for (int32_t k = 0; k < n; ++k) {
        if (order[k] >= first_canvas_block_) continue;  // dropped, whatever mass it has
        prompt[curve].mass[k + 1] += of_query * Mass(mass[order[k]]);
        prompt[curve].kept[k + 1] += of_row;
      }
      RankByImportance(std::span(canvas_importance).subspan(row * canvas_blocks, canvas_blocks),
                       order);
      for (int32_t k = 0; k < canvas_blocks; ++k) {
        canvas[curve].mass[k + 1] += of_query * Mass(mass[first_canvas_block_ + order[k]]);
        canvas[curve].kept[k + 1] += of_row;
      }
    }
  }
  for (std::vector<MassCurve>* curves : {&prompt, &canvas}) {
    for (MassCurve& curve : *curves) {
      std::partial_sum(curve.mass.begin(), curve.mass.end(), curve.mass.begin());
      std::partial_sum(curve.kept.begin(), curve.kept.end(), curve.kept.begin());
    }
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
