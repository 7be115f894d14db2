// Budgets by covered mass: what they keep, and when they are made.
#include "engine/mass_budgets.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <memory>
#include <numeric>
#include <utility>

#include "tests/testing/forwarding_backend.h"
#include "tests/unit/engine/mass_curves.h"
#include "tests/unit/engine/tiny_engine.h"
#include "tests/unit/kernels/attention_oracle.h"

namespace sparsed::engine {
namespace {

constexpr int32_t kBudgetBlockSize = 32;
constexpr int32_t kBudgetBlocks = 14;
constexpr int32_t kBudgetTokens = 432;  // the last block is half full

// Selects at step 4. Canvas positions in several tiles.
Request BudgetRequest() {
  Request request = MakeTinyRequest(kBudgetTokens - 160, 160, 16, 160);
  for (int32_t i = 0; i < kBudgetTokens; ++i) request.ids[i] = 6 + i * 37 % 120;
  for (int32_t i = 0; i < 32; ++i) request.canvas[i] = 176 + 3 * i;
  for (const int32_t position : request.canvas) request.ids[position] = 5;
  request.sampling.seed = 11;
  request.sparse.mode = SparseMode::kSparseD;
  request.sparse.block_size = kBudgetBlockSize;
  request.sparse.select = 0.25;
  request.sparse.budgets = HeadBudgets::kByMass;
  return request;
}

// What a tile that was drawn gives the oracle: of one layer.
struct MeasuredTile {
  int64_t first_block = 0;
  int64_t end_block = 0;
  int64_t num_queries = 0;
  kernels::OracleImportance importances;
};

// Keeps what every measure is made of, the importances where they are wanted. In these tests
// nothing else selects for some queries alone.
class TileOracleBackend : public testing::ForwardingBackend {
 public:
  TileOracleBackend(std::unique_ptr<kernels::Backend> inner, bool wants_importances,
                    std::vector<MeasuredTile>* tiles)
      : ForwardingBackend(std::move(inner)), wants_importances_(wants_importances), tiles_(tiles) {}

  absl::Status Attention(const kernels::AttentionParams& params) override {
    for (kernels::AttentionSequence sequence : params.sequences) {
      if (sequence.mode != kernels::AttentionMode::kFullSelect || !sequence.queries) continue;
      const int64_t first = sequence.queries->first_token;
      const int64_t end = first + sequence.queries->num_tokens;
      sequence.queries.reset();
      MeasuredTile& tile = tiles_->emplace_back();
      tile.first_block = first / kBudgetBlockSize;
      tile.end_block = (end + kBudgetBlockSize - 1) / kBudgetBlockSize;
      tile.num_queries = end - first;
      if (wants_importances_) tile.importances = kernels::OracleImportances(params, sequence);
    }
    return ForwardingBackend::Attention(params);
  }

 private:
  const bool wants_importances_;
  std::vector<MeasuredTile>* const tiles_;
};

// Adds what the best columns of one row are worth by their rank: those before `end` are kept. rank:
// of the last columns, or of all.
void AddOracleRow(std::span<const double> mass, std::span<const double> rank, int32_t end,
                  const MeasuredTile& tile, MassCurve& curve) {
  const size_t first = mass.size() - rank.size();
  std::vector<size_t> order(rank.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [rank](size_t a, size_t b) { return rank[a] > rank[b]; });
  double sum = 0;
  int kept = 0;
  for (size_t k = 0; k < order.size(); ++k) {
    const size_t column = first + order[k];
    if (static_cast<int32_t>(column) < end) {
      sum += mass[column];
      ++kept;
    }
    curve.mass[k + 1] += sum / static_cast<double>(tile.num_queries);
    curve.kept[k + 1] += kept / static_cast<double>(tile.end_block - tile.first_block);
  }
}

MassCurve NoMass(int32_t n) {
  return {std::vector<double>(n + 1, 0), std::vector<double>(n + 1, 0)};
}

struct SideCurves {
  std::vector<MassCurve> prompt;
  std::vector<MassCurve> canvas;
};

// What every head of every layer covers of the attention of its tile.
SideCurves OracleCurves(std::span<const MeasuredTile> tiles, size_t heads,
                        int32_t first_canvas_block) {
  const int32_t n = kBudgetBlocks;
  const int32_t canvas = n - first_canvas_block;
  SideCurves curves;
  curves.prompt.assign(tiles.size() * heads, NoMass(n));
  curves.canvas.assign(tiles.size() * heads, NoMass(canvas));
  for (size_t i = 0; i < curves.prompt.size(); ++i) {
    const MeasuredTile& tile = tiles[i / heads];
    for (int64_t block = tile.first_block; block < tile.end_block; ++block) {
      const int64_t row = static_cast<int64_t>(i % heads) * n + block;
      const auto all = std::span(tile.importances.full).subspan(row * n, n);
      const auto side = std::span(tile.importances.canvas).subspan(row * canvas, canvas);
      AddOracleRow(all, all, first_canvas_block, tile, curves.prompt[i]);
      AddOracleRow(all, side, n, tile, curves.canvas[i]);
    }
  }
  return curves;
}

// Runs up to and with step `last`; the sequence.
const Sequence& RunThrough(Engine& engine, SequenceId id, int32_t last) {
  while (engine.Find(id)->next_step <= last) REQUIRE(engine.Step().ok());
  return *engine.Find(id);
}

}  // namespace

TEST_CASE("Budgets by mass cover more of what was measured, and every row keeps its head's") {
  const bool isolated = GENERATE(true, false);
  const SelectionScale scale = GENERATE(SelectionScale::kHeadDim, SelectionScale::kNumHeads);
  CAPTURE(isolated, scale);
  std::vector<MeasuredTile> tiles;
  auto cpu = kernels::CreateBackend({"cpu", 2});
  REQUIRE(cpu.ok());
  auto engine = MakeTinyEngine(std::make_unique<TileOracleBackend>(*std::move(cpu), true, &tiles));
  Request request = BudgetRequest();
  request.sparse.isolated = isolated;
  request.sparse.scale = scale;
  const SequenceId id = engine->Start(request).value();
  const Sequence& sequence = RunThrough(*engine, id, 3);
  const auto layers = static_cast<size_t>(engine->model_info().num_layers);
  REQUIRE(tiles.size() == layers);
  const std::vector<HeadCounts> counts = sequence.head_counts;
  REQUIRE(counts.size() == layers * engine->model_info().num_heads);

  const kernels::BlockSelection uniform = SelectionOf(sequence.plan);
  const SideCurves curves =
      OracleCurves(tiles, engine->model_info().num_heads, uniform.first_canvas_block);
  std::vector<int32_t> prompt;
  std::vector<int32_t> canvas;
  for (const HeadCounts& count : counts) {
    prompt.push_back(count.prompt);
    canvas.push_back(count.canvas);
  }
  const auto check = [](const std::vector<MassCurve>& side, const std::vector<int32_t>& own,
                        int32_t of_each) {
    const std::vector<int32_t> equal(own.size(), of_each);
    REQUIRE(own != equal);
    REQUIRE(KeptOf(side, own) == Approx(KeptOf(side, equal)).margin(1));
    REQUIRE(MassOf(side, own) > MassOf(side, equal));
    // Columns that are equally good but for rounding may have gone to another head.
    REQUIRE(MassOf(side, own) == Approx(MassOf(side, SplitColumns(side, of_each))).epsilon(1e-5));
  };
  check(curves.prompt, prompt, uniform.keep_prompt);
  if (isolated) check(curves.canvas, canvas, uniform.keep_canvas);

  // The step that selects does so by these counts, in every row.
  RunThrough(*engine, id, 4);
  for (size_t i = 0; i < counts.size(); ++i) {
    const auto heads = static_cast<size_t>(engine->model_info().num_heads);
    const kernels::BlockMaskView mask = sequence.masks->Layer(0, static_cast<int32_t>(i / heads));
    for (int32_t row = 0; row < kBudgetBlocks; ++row) {
      const uint64_t bits = mask.Row(static_cast<int64_t>(i % heads), row)[0];
      const uint64_t prompt_side = (uint64_t{1} << uniform.first_canvas_block) - 1;
      REQUIRE(std::popcount(bits & ~prompt_side) == counts[i].canvas);
      REQUIRE(std::popcount(bits & prompt_side) <= counts[i].prompt);
      if (!isolated) REQUIRE(std::popcount(bits) == counts[i].prompt);
    }
  }
}

TEST_CASE("By mass a request keeps as much as with equal shares") {
  auto engine = MakeTinyCpuEngine(2);
  const auto density = [&](const Request& request) {
    const SequenceId id = engine->Start(request).value();
    const double result = RunThrough(*engine, id, 4).density;
    engine->Remove(id);
    return result;
  };
  for (const int32_t prompt : {200, 320, 440}) {
    for (const double select : {0.1, 0.2, 0.3, 0.5}) {
      CAPTURE(prompt, select);
      Request request = MakeTinyRequest(prompt, 64, 16, 64);
      request.sparse.mode = SparseMode::kSparseD;
      request.sparse.block_size = 32;
      request.sparse.select = select;
      const double equal = density(request);
      request.sparse.budgets = HeadBudgets::kByMass;
      // Canvas columns among the best of all are dropped, with other counts others: that differs by
      // less than a tenth of a column a row.
      REQUIRE(density(request) == Approx(equal).margin(0.1 * 32 / (prompt + 64)));
      request.sparse.isolated = false;
      const double together = density(request);
      request.sparse.budgets = HeadBudgets::kUniform;
      REQUIRE(density(request) == together);
    }
  }
}

TEST_CASE("Mass is measured before each planned selection, and only then") {
  std::vector<MeasuredTile> tiles;
  auto cpu = kernels::CreateBackend({"cpu", 2});
  REQUIRE(cpu.ok());
  auto engine = MakeTinyEngine(std::make_unique<TileOracleBackend>(*std::move(cpu), false, &tiles));
  struct Row {
    std::function<void(SparseParams&)> change;
    std::vector<int32_t> steps;  // that measure
  };
  const std::vector<Row> rows = {
      {[](SparseParams&) {}, {3}},
      {[](SparseParams& sparse) { sparse.skip = 0; }, {0}},
      {[](SparseParams& sparse) {
         sparse.refresh_steps = {5, 9, 15};
       },
       {3, 4, 8, 14}},
      {[](SparseParams& sparse) {
         sparse.refresh_every = 4;
         sparse.refresh_until = 1;
       },
       {3, 7, 11}},  // none for a step 16
      // The fourth step is the last that selects in any case.
      {[](SparseParams& sparse) { sparse.switch_overlap = 1; }, {0, 1, 2, 3}},
      // Steps 0 and 1 agree enough, and step 2 is sparse.
      {[](SparseParams& sparse) { sparse.switch_overlap = 0.001; }, {0, 1}},
      {[](SparseParams& sparse) { sparse.mode = SparseMode::kOff; }, {}},
  };
  for (size_t i = 0; i < rows.size(); ++i) {
    CAPTURE(i);
    Request request = BudgetRequest();
    rows[i].change(request.sparse);
    const SequenceId id = engine->Start(request).value();
    std::vector<int32_t> measuring;
    while (!engine->Find(id)->finished) {
      tiles.clear();
      const auto steps = engine->Step();
      REQUIRE(steps.ok());
      if (!tiles.empty()) measuring.push_back(steps->front().step);
    }
    REQUIRE(measuring == rows[i].steps);
    engine->Remove(id);
  }

  // Every full step may be the last where commits bring the switch.
  Request request = BudgetRequest();
  request.sampling.confidence_threshold = 1.0;
  REQUIRE(engine->Start(request).ok());
  for (int32_t step = 0; step < 4; ++step) {
    CAPTURE(step);
    tiles.clear();
    REQUIRE(engine->Step().value().front().kind == StepKind::kFull);
    REQUIRE_FALSE(tiles.empty());
  }
}

TEST_CASE("A refresh for the recall selects by the mass that was measured last") {
  auto engine = MakeTinyCpuEngine(2);
  Request request = BudgetRequest();
  request.sparse.recall_every = 1;
  request.sparse.recall_floor = 1.0;
  const SequenceId id = engine->Start(request).value();
  const std::vector<HeadCounts> counts = RunThrough(*engine, id, 4).head_counts;
  REQUIRE_FALSE(counts.empty());
  const Sequence& sequence = RunThrough(*engine, id, 6);  // step 5 is below, 6 selects
  REQUIRE(sequence.counts.select == 2);
  REQUIRE(sequence.head_counts == counts);
}

TEST_CASE("By mass a request gives the same alone and in company") {
  auto engine = MakeTinyCpuEngine(2);
  std::vector<Request> requests(4, BudgetRequest());
  requests[1].sampling.cfg_scale = 1;
  requests[1].sparse.refresh_steps = {6, 9};
  requests[2].sparse.isolated = false;
  requests[2].sparse.switch_overlap = 0.5;
  requests[3].sparse.budgets = HeadBudgets::kUniform;
  const std::vector<Outcome> together = RunBatch(*engine, requests);
  for (size_t i = 0; i < requests.size(); ++i) {
    CAPTURE(i);
    REQUIRE(RunAlone(*engine, requests[i]) == together[i]);
  }
  REQUIRE(together[0].confidences != together[3].confidences);
}

TEST_CASE("The pass without the prompt keeps the same in every head") {
  auto engine = MakeTinyCpuEngine(2);
  Request request = BudgetRequest();
  request.sampling.cfg_scale = 1;
  request.sparse.isolated = false;
  const SequenceId id = engine->Start(request).value();
  const Sequence& sequence = RunThrough(*engine, id, 4);
  int other = 0;
  for (int32_t layer = 0; layer < engine->model_info().num_layers; ++layer) {
    for (int32_t head = 0; head < engine->model_info().num_heads; ++head) {
      const int kept = std::popcount(sequence.masks->Layer(0, layer).Row(head, 0)[0]);
      if (kept != sequence.plan.keep_prompt) ++other;
      REQUIRE(std::popcount(sequence.masks->Layer(1, layer).Row(head, 0)[0]) ==
              sequence.plan.keep_prompt);
    }
  }
  REQUIRE(other > 0);
}

TEST_CASE("With select ratio 1 budgets by mass keep everything") {
  auto engine = MakeTinyCpuEngine(2);
  Request request = BudgetRequest();
  request.sparse.select = 1.0;
  const Outcome sparse = RunAlone(*engine, request);
  REQUIRE(sparse.density == 1.0);
  request.sparse.mode = SparseMode::kOff;
  REQUIRE(sparse == RunAlone(*engine, request));
}

TEST_CASE("An inspection shows what budgets by mass select") {
  auto engine = MakeTinyCpuEngine(2);
  Request request = BudgetRequest();
  request.inspect = InspectParams{{}, {}, {2, 6}, false};
  const SequenceId id = engine->Start(request).value();
  int inspected = 0;
  while (!engine->Find(id)->finished) {
    const auto steps = engine->Step();
    REQUIRE(steps.ok());
    const Sequence& sequence = *engine->Find(id);
    for (const InspectedHead& head : steps->front().inspected.heads) {
      CAPTURE(steps->front().step, head.layer, head.head);
      ++inspected;
      const size_t at = head.layer * engine->model_info().num_heads + head.head;
      const int32_t canvas =
          steps->front().step < 4 ? sequence.plan.keep_canvas : sequence.head_counts[at].canvas;
      REQUIRE(std::popcount(head.kept[0] >> sequence.plan.first_canvas_block) == canvas);
      if (steps->front().step != 4) continue;
      const uint64_t* row = sequence.masks->Layer(0, head.layer).Row(head.head, 0);
      REQUIRE(std::equal(head.kept.begin(), head.kept.end(), row));
    }
  }
  REQUIRE(inspected == 3 * engine->model_info().num_layers * engine->model_info().num_heads);
}

TEST_CASE("A layer whose tile has fewer queries has no less mass for it") {
  FakeEngine fake = MakeTinyFakeEngine();  // gives each query block the same, wherever it is
  Request request = MakeTinyRequest(448 - 160, 160, 16, 160);  // canvas in tiles of 128 and of 64
  request.sparse = BudgetRequest().sparse;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    CAPTURE(seed);
    request.sampling.seed = seed;
    const SequenceId id = fake.engine->Start(request).value();
    const std::vector<HeadCounts> counts = RunThrough(*fake.engine, id, 3).head_counts;
    REQUIRE(counts == std::vector<HeadCounts>(counts.size(), counts.front()));
    fake.engine->Remove(id);
  }
}

TEST_CASE("What budgets by mass take is reserved, and freed with the sequence") {
  FakeEngine fake = MakeTinyFakeEngine();
  const uint64_t base = fake.backend->Info().allocated_bytes;
  Request request = BudgetRequest();
  request.sparse.budgets = HeadBudgets::kUniform;
  const int64_t plain = fake.engine->Estimate(request).mask_cache_bytes;
  request.sparse.budgets = HeadBudgets::kByMass;
  const int64_t need = fake.engine->Estimate(request).mask_cache_bytes;
  const int64_t canvas =
      kBudgetBlocks - PlanSparse(request, fake.engine->model_info()).first_canvas_block;
  // A pattern of 2 heads of 14 rows of a word in whole lines, for each of 2 layers the importances
  // of 4 query blocks, and two counts for every head.
  REQUIRE(need == plain + 256 + 2 * (2 * 4 * (kBudgetBlocks + canvas) * 4) + 2 * 2 * 8);
  const SequenceId id = fake.engine->Start(request).value();
  REQUIRE(fake.engine->mask_cache_bytes() == need);
  while (!fake.engine->Find(id)->finished) {
    REQUIRE(fake.backend->Info().allocated_bytes == base + need);
    REQUIRE(fake.engine->Step().ok());
  }
  fake.engine->Remove(id);
  REQUIRE(fake.backend->Info().allocated_bytes == base);
  request.sparse.mode = SparseMode::kOff;
  REQUIRE(fake.engine->Estimate(request).mask_cache_bytes == 0);
  // Without room for it nothing is started.
  request.sparse.mode = SparseMode::kSparseD;
  for (const int64_t call : {1, 2}) {
    fake.backend->FailCall(call);
    REQUIRE(fake.engine->Start(request).status().code() == absl::StatusCode::kResourceExhausted);
    REQUIRE(fake.backend->Info().allocated_bytes == base);
  }
}

TEST_CASE("Whichever call of a measuring or selecting step fails, nothing changes") {
  FakeEngine fake = MakeTinyFakeEngine();
  const SequenceId id = fake.engine->Start(BudgetRequest()).value();
  RunThrough(*fake.engine, id, 2);
  for (const int32_t step : {3, 4}) {
    CAPTURE(step);
    const std::vector<HeadCounts> before = fake.engine->Find(id)->head_counts;
    int64_t failures = 0;
    for (;; ++failures) {
      CAPTURE(failures);
      fake.backend->FailCall(failures);
      const auto steps = fake.engine->Step();
      if (steps.ok()) break;
      REQUIRE(steps.status().code() == absl::StatusCode::kInternal);
      REQUIRE(fake.engine->Find(id)->next_step == step);
      REQUIRE(fake.engine->Find(id)->head_counts == before);
    }
    REQUIRE(failures > 20);
    fake.backend->FailCall(-1);
  }
  REQUIRE_FALSE(fake.engine->Find(id)->head_counts.empty());
}

}  // namespace sparsed::engine
