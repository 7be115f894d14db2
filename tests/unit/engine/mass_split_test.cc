// The split of columns among heads, against all splits that there are.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <random>
#include <span>
#include <utility>
#include <vector>

#include "engine/mass_budgets.h"
#include "tests/testing/catch.h"
#include "tests/unit/engine/mass_curves.h"

namespace sparsed::engine {
namespace {

// The most that `left` columns beyond the `least` of each can cover, tried one head after another.
double BestMass(std::span<const MassCurve> curves, int32_t least, int64_t left) {
  std::vector<double> best(left + 1, -1);
  best[0] = 0;
  for (const MassCurve& curve : curves) {
    std::vector<double> next(left + 1, -1);
    for (int64_t used = 0; used <= left; ++used) {
      for (int64_t own = 0; own <= used && least + own < std::ssize(curve.mass); ++own) {
        if (best[used - own] < 0) continue;
        next[used] = std::max(next[used], best[used - own] + curve.mass[least + own]);
      }
    }
    best = std::move(next);
  }
  return best[left];
}

// Where every column is kept.
MassCurve PlainCurve(std::vector<double> mass) {
  MassCurve curve;
  curve.kept.resize(mass.size());
  std::iota(curve.kept.begin(), curve.kept.end(), 0.0);
  curve.mass = std::move(mass);
  return curve;
}

// Curves of falling steps, of heads between sharp and flat.
std::vector<MassCurve> RandomCurves(size_t heads, int32_t n, std::mt19937& random) {
  std::vector<MassCurve> curves;
  for (size_t head = 0; head < heads; ++head) {
    const double decay = std::uniform_real_distribution<>(0.3, 1.0)(random);
    std::vector<double> curve(n + 1, 0);
    double step = std::uniform_real_distribution<>(0.5, 1.0)(random);
    for (int32_t k = 0; k < n; ++k, step *= decay) curve[k + 1] = curve[k] + step;
    curves.push_back(PlainCurve(std::move(curve)));
  }
  return curves;
}

}  // namespace

TEST_CASE("Columns go where they cover most, and not one is lost") {
  std::mt19937 random(5);
  for (int trial = 0; trial < 50; ++trial) {
    const int32_t n = 1 + static_cast<int32_t>(random() % 24);
    const int32_t uniform = 1 + static_cast<int32_t>(random() % n);
    const std::vector<MassCurve> curves = RandomCurves(1 + random() % 5, n, random);
    CAPTURE(trial, n, uniform, curves.size());
    const std::vector<int32_t> counts = SplitColumns(curves, uniform);
    const int32_t least = std::max(1, uniform / 10);
    const auto heads = static_cast<int64_t>(curves.size());
    REQUIRE(std::accumulate(counts.begin(), counts.end(), int64_t{0}) == heads * uniform);
    for (const int32_t count : counts) REQUIRE((count >= least && count <= n));
    REQUIRE(MassOf(curves, counts) ==
            Approx(BestMass(curves, least, heads * (uniform - least))).epsilon(1e-12));
  }
}

TEST_CASE("A split covers no less than equal shares, whatever the curves, and in large parts too") {
  std::mt19937 random(6);
  int better = 0;
  for (int trial = 0; trial < 100; ++trial) {
    const int32_t n = 1 + static_cast<int32_t>(random() % 700);
    const int32_t uniform = 1 + static_cast<int32_t>(random() % n);
    std::vector<MassCurve> curves = RandomCurves(1 + random() % 8, n, random);
    for (MassCurve& curve : curves) {
      // Steps in any order; some columns are dropped in some of four rows, or in all.
      std::adjacent_difference(curve.mass.begin(), curve.mass.end(), curve.mass.begin());
      if (random() % 2 == 0) std::shuffle(curve.mass.begin() + 1, curve.mass.end(), random);
      for (int32_t k = 1; k <= n; ++k) {
        const double kept = random() % 3 == 0 ? static_cast<double>(random() % 4) / 4 : 1;
        curve.mass[k] *= kept;
        curve.kept[k] = curve.kept[k - 1] + kept;
      }
      curve.mass[0] = 0;
      std::partial_sum(curve.mass.begin(), curve.mass.end(), curve.mass.begin());
    }
    CAPTURE(trial, n, uniform, curves.size());
    const std::vector<int32_t> counts = SplitColumns(curves, uniform);
    const std::vector<int32_t> same(curves.size(), uniform);
    REQUIRE(std::abs(KeptOf(curves, counts) - KeptOf(curves, same)) < 1);
    for (const int32_t count : counts) REQUIRE((count >= 1 && count <= n));
    const double equal = MassOf(curves, same);
    REQUIRE(MassOf(curves, counts) >= equal * (1 - 1e-12));
    if (MassOf(curves, counts) > equal * 1.01) ++better;
  }
  REQUIRE(better > 30);
}

TEST_CASE("Heads that are alike keep the same") {
  std::vector<double> line(201, 0);
  for (int32_t k = 0; k <= 200; ++k) line[k] = k * 0.125;
  for (const int32_t uniform : {1, 9, 10, 100, 200}) {
    const std::vector<MassCurve> curves(7, PlainCurve(line));
    std::vector<int32_t> counts = SplitColumns(curves, uniform);
    REQUIRE(std::accumulate(counts.begin(), counts.end(), 0) == 7 * uniform);
    const auto [least, most] = std::minmax_element(counts.begin(), counts.end());
    REQUIRE(*most - *least <= 200 / 64);
  }
}

TEST_CASE("A head behind steps that give nothing is found") {
  const MassCurve late = PlainCurve({0, 0, 0, 0, 9, 9, 9, 9, 9});
  const MassCurve flat = PlainCurve({0, 1, 2, 3, 4, 5, 6, 7, 8});
  REQUIRE(SplitColumns(std::vector<MassCurve>{flat, late}, 3) == std::vector<int32_t>{2, 4});
}

TEST_CASE("Columns that are dropped cost a head nothing") {
  MassCurve behind = PlainCurve({0, 0, 0, 9, 9, 9, 9});
  behind.kept = {0, 0, 0, 1, 2, 3, 4};
  const MassCurve flat = PlainCurve({0, 1, 2, 3, 4, 5, 6});
  // With 3 each they keep 1 and 3; of these 4 the second keeps all but the first one's best.
  REQUIRE(SplitColumns(std::vector<MassCurve>{behind, flat}, 3) == std::vector<int32_t>{3, 3});
  REQUIRE(SplitColumns(std::vector<MassCurve>{behind, flat}, 4) == std::vector<int32_t>{3, 5});
}

}  // namespace sparsed::engine
