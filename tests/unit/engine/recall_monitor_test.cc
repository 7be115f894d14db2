// Estimates of the recall, against softmaxes in double precision; and that they change nothing.
#include "engine/recall_monitor.h"

#include <algorithm>
#include <map>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "engine/inspection.h"
#include "tests/testing/forwarding_backend.h"
#include "tests/unit/engine/tiny_engine.h"
#include "tests/unit/kernels/attention_oracle.h"

namespace sparsed::engine {
namespace {

constexpr int32_t kHoleyBlockSize = 32;
constexpr int32_t kHoleyBlocks = 10;  // the last one has 10 tokens

// 298 tokens in three query tiles, of which each has canvas positions: 4, 12 and 32.
Request HoleyRequest() {
  Request request = MakeTinyRequest(250, 48, 16, 48);  // selects at step 4
  for (int32_t i = 0; i < 298; ++i) request.ids[i] = 6 + (i * 37 + 11) % 120;
  for (int32_t i = 0; i < 48; ++i) {
    request.canvas[i] = i < 4 ? 20 * i + 7 : i < 16 ? 130 + 10 * (i - 4) : 250 + i;
    request.ids[request.canvas[i]] = 5;
  }
  request.sparse.mode = SparseMode::kSparseD;
  request.sparse.block_size = kHoleyBlockSize;
  request.sparse.select = 0.2;
  return request;
}

// One estimate of a layer: where its queries are, and the exact importances of all blocks.
struct Drawn {
  kernels::QueryRange queries;
  std::vector<double> importances;  // [H, n, n]
};

// Keeps what every estimate is made of. Only estimates select for some queries alone.
class DrawnOracleBackend : public testing::ForwardingBackend {
 public:
  DrawnOracleBackend(std::unique_ptr<kernels::Backend> inner, std::vector<Drawn>* drawn)
      : ForwardingBackend(std::move(inner)), drawn_(drawn) {}

  absl::Status Attention(const kernels::AttentionParams& params) override {
    for (kernels::AttentionSequence sequence : params.sequences) {
      if (sequence.mode != kernels::AttentionMode::kFullSelect || !sequence.queries) continue;
      const kernels::QueryRange queries = *sequence.queries;
      sequence.queries.reset();
      drawn_->push_back({queries, kernels::OracleImportances(params, sequence).full});
    }
    return ForwardingBackend::Attention(params);
  }

 private:
  std::vector<Drawn>* const drawn_;
};

// The mean over those canvas positions that lie in [first, end) of the mean recall of all heads.
double OracleRecall(const std::vector<double>& importances, const kernels::BlockMaskView& mask,
                    const std::vector<int32_t>& canvas, int64_t first, int64_t end) {
  double sum = 0;
  int positions = 0;
  for (const int32_t position : canvas) {
    if (position < first || position >= end) continue;
    ++positions;
    for (int32_t head = 0; head < mask.num_heads; ++head) {
      const int64_t row = head * kHoleyBlocks + position / kHoleyBlockSize;
      double all = 0;
      double covered = 0;
      for (int32_t key = 0; key < kHoleyBlocks; ++key) {
        const double value = importances[row * kHoleyBlocks + key];
        all += value;
        if ((mask.Row(head, position / kHoleyBlockSize)[0] >> key & 1) != 0) covered += value;
      }
      sum += covered / all / mask.num_heads;
    }
  }
  return sum / positions;
}

}  // namespace

TEST_CASE("An estimate is the oracle's recall of the tiles that are drawn") {
  std::vector<Drawn> drawn;
  auto cpu = kernels::CreateBackend({"cpu", 2});
  REQUIRE(cpu.ok());
  auto engine = MakeTinyEngine(std::make_unique<DrawnOracleBackend>(*std::move(cpu), &drawn));
  const size_t layers = engine->model_info().num_layers;
  // Whatever softmax the blocks are chosen by, the recall is of the attention's own.
  const SelectionScale scale = GENERATE(SelectionScale::kHeadDim, SelectionScale::kNumHeads);
  Request request = HoleyRequest();
  request.sparse.scale = scale;
  request.sparse.recall_every = 2;
  request.sampling.seed = 3;
  const SequenceId id = engine->Start(request).value();
  std::vector<double> estimates;
  bool another_tile = false;
  while (!engine->Find(id)->finished) {
    drawn.clear();
    const auto steps = engine->Step();
    REQUIRE(steps.ok());
    const SequenceStep& step = steps->front();
    CAPTURE(step.step);
    REQUIRE(step.recall.has_value() == (step.step > 4 && step.step % 2 == 0));
    REQUIRE(drawn.size() == (step.recall ? layers : 0));
    if (!step.recall) continue;
    double expected = 0;
    for (size_t layer = 0; layer < layers; ++layer) {
      const kernels::QueryRange& queries = drawn[layer].queries;
      const int64_t end = queries.first_token + queries.num_tokens;
      REQUIRE(queries.first_token % 128 == 0);
      REQUIRE(end == std::min<int64_t>(298, queries.first_token + 128));
      expected += OracleRecall(drawn[layer].importances,
                               engine->Find(id)->masks->Layer(0, static_cast<int32_t>(layer)),
                               request.canvas, queries.first_token, end) /
                  static_cast<double>(layers);
      another_tile = another_tile || queries.first_token != drawn[0].queries.first_token;
    }
    REQUIRE(*step.recall == Approx(expected).margin(1e-6));
    REQUIRE(*step.recall < 1);
    estimates.push_back(*step.recall);
  }
  REQUIRE(another_tile);
  const RecallCounts& recalls = engine->Find(id)->recalls;
  REQUIRE(recalls.estimates == 5);
  REQUIRE(recalls.below_floor == 0);
  REQUIRE(recalls.lowest == *std::min_element(estimates.begin(), estimates.end()));
  double sum = 0;
  for (const double estimate : estimates) sum += estimate;
  REQUIRE(recalls.sum == sum);
}

TEST_CASE("A tile is drawn as often as its share of the canvas, so that the mean has no bias") {
  FakeEngine fake = MakeTinyFakeEngine();
  Request request = HoleyRequest();
  const SparsePlan plan = PlanSparse(request, fake.engine->model_info());
  testing::FakeBackend backend;
  auto monitor = RecallMonitor::Create(backend, plan, fake.engine->model_info());
  REQUIRE(monitor.ok());
  constexpr int kSteps = 20000;
  std::map<int64_t, int> counts;
  for (int32_t step = 0; step < kSteps; ++step) {
    for (const kernels::QueryRange& queries : monitor->Probe(request, step).queries) {
      ++counts[queries.first_token];
    }
  }
  REQUIRE(counts.size() == 3);
  const double draws = kSteps * fake.engine->model_info().num_layers;
  REQUIRE(counts[0] / draws == Approx(4 / 48.0).margin(0.01));
  REQUIRE(counts[128] / draws == Approx(12 / 48.0).margin(0.01));
  REQUIRE(counts[256] / draws == Approx(32 / 48.0).margin(0.01));
}

TEST_CASE("Estimates change no token, and are the same in company") {
  auto engine = MakeTinyCpuEngine(2);
  for (const float cfg_scale : {0.0f, 1.0f}) {
    CAPTURE(cfg_scale);
    Request request = HoleyRequest();
    request.sampling.cfg_scale = cfg_scale;
    const Outcome plain = RunAlone(*engine, request);
    request.sparse.recall_every = 1;
    const auto run = [&] {
      const SequenceId id = engine->Start(request).value();
      while (!engine->Find(id)->finished) REQUIRE(engine->Step().ok());
      REQUIRE(OutcomeOf(*engine, id) == plain);
      const RecallCounts recalls = engine->Find(id)->recalls;
      engine->Remove(id);
      REQUIRE(recalls.estimates == 11);
      return recalls.sum;
    };
    const double alone = run();
    const Request other = MakeTinyRequest(90, 32, 16, 32);
    const Outcome other_alone = RunAlone(*engine, other);
    const SequenceId other_id = engine->Start(other).value();
    REQUIRE(run() == alone);
    REQUIRE(OutcomeOf(*engine, other_id) == other_alone);
    engine->Remove(other_id);
  }
}

TEST_CASE("A step can be inspected and estimated, and both agree") {
  auto engine = MakeTinyCpuEngine(2);
  Request request = HoleyRequest();
  request.sparse.recall_every = 1;
  // The canvas in one tile, so that it is that which is drawn.
  for (int32_t i = 0; i < 298; ++i) request.ids[i] = 6 + (i * 37 + 11) % 120;
  for (int32_t i = 0; i < 32; ++i) request.canvas[i] = 256 + i;
  request.canvas.resize(32);
  for (const int32_t position : request.canvas) request.ids[position] = 5;
  request.sampling.block_length = 32;
  const auto run = [&](std::vector<InspectedStep>* inspected) {
    const SequenceId id = engine->Start(request).value();
    std::vector<double> estimates;
    while (!engine->Find(id)->finished) {
      auto steps = engine->Step();
      REQUIRE(steps.ok());
      if (steps->front().recall) estimates.push_back(*steps->front().recall);
      if (inspected != nullptr && steps->front().inspected.heads.size() > 0) {
        inspected->push_back(std::move(steps->front().inspected));
      }
    }
    engine->Remove(id);
    return estimates;
  };
  const std::vector<double> alone = run(nullptr);
  request.inspect = InspectParams{{}, {}, {7}, true};
  std::vector<InspectedStep> inspected;
  REQUIRE(run(&inspected) == alone);
  REQUIRE(inspected.size() == 2);
  // The canvas is query block 8 whole.
  double sum = 0;
  for (size_t i = 0; i < inspected[1].heads.size(); ++i) {
    const InspectedHead& head = inspected[1].heads[i];
    const std::vector<uint64_t>& in_use = inspected[0].heads[i].kept;
    sum += KeptShare(std::span(head.importance).subspan(8 * kHoleyBlocks, kHoleyBlocks),
                     std::span(in_use).subspan(8, 1), kHoleyBlocks);
  }
  REQUIRE(alone[7 - 5] == Approx(sum / static_cast<double>(inspected[1].heads.size())));
}

TEST_CASE("Where everything is kept every estimate is 1, and no floor is reached") {
  auto engine = MakeTinyCpuEngine(2);
  Request request = HoleyRequest();
  request.sparse.mode = SparseMode::kOff;
  Outcome full = RunAlone(*engine, request);
  request.sparse.mode = SparseMode::kSparseD;
  request.sparse.select = 1.0;
  request.sparse.recall_every = 1;
  request.sparse.recall_floor = 1.0;
  const SequenceId id = engine->Start(request).value();
  while (!engine->Find(id)->finished) REQUIRE(engine->Step().ok());
  REQUIRE(OutcomeOf(*engine, id) == full);
  REQUIRE(engine->Find(id)->recalls.estimates == 11);
  REQUIRE(engine->Find(id)->recalls.lowest == 1.0);
  REQUIRE(engine->Find(id)->recalls.below_floor == 0);
}

TEST_CASE("What estimates take is reserved, and freed with the sequence") {
  FakeEngine fake = MakeTinyFakeEngine();
  const uint64_t base = fake.backend->Info().allocated_bytes;
  Request request = HoleyRequest();
  const int64_t plain = fake.engine->Estimate(request).mask_cache_bytes;
  request.sparse.recall_floor = 0.5;
  const int64_t need = fake.engine->Estimate(request).mask_cache_bytes;
  // A pattern of 2 heads of 10 rows of a word, in whole lines, and for each of 2 layers the
  // importances of 4 query blocks.
  REQUIRE(need == plain + 192 + 2 * (2 * 4 * 10 * 4));
  const SequenceId id = fake.engine->Start(request).value();
  REQUIRE(fake.engine->mask_cache_bytes() == need);
  REQUIRE(fake.backend->Info().allocated_bytes == base + need);
  while (!fake.engine->Find(id)->finished) REQUIRE(fake.engine->Step().ok());
  REQUIRE(fake.engine->Find(id)->recalls.estimates == 2);  // of 11 sparse steps every fourth
  REQUIRE(fake.backend->Info().allocated_bytes == base + need);
  fake.engine->Remove(id);
  REQUIRE(fake.engine->mask_cache_bytes() == 0);
  REQUIRE(fake.backend->Info().allocated_bytes == base);

  request.sparse.mode = SparseMode::kOff;
  REQUIRE(fake.engine->Estimate(request).mask_cache_bytes == 0);
  // Without room for it nothing is started.
  request.sparse.mode = SparseMode::kSparseD;
  fake.backend->FailCall(1);
  REQUIRE(fake.engine->Start(request).status().code() == absl::StatusCode::kResourceExhausted);
  REQUIRE(fake.backend->Info().allocated_bytes == base);
}

TEST_CASE("Whichever call of an estimating step fails, nothing changes") {
  FakeEngine fake = MakeTinyFakeEngine();
  Request request = HoleyRequest();
  request.sparse.recall_every = 1;
  request.sparse.recall_floor = 1.0;
  const SequenceId id = fake.engine->Start(request).value();
  while (fake.engine->Find(id)->next_step < 5) REQUIRE(fake.engine->Step().ok());
  int64_t failures = 0;
  for (;; ++failures) {
    CAPTURE(failures);
    fake.backend->FailCall(failures);
    const auto steps = fake.engine->Step();
    if (steps.ok()) break;
    REQUIRE(steps.status().code() == absl::StatusCode::kInternal);
    REQUIRE(fake.engine->Find(id)->recalls.estimates == 0);
    REQUIRE_FALSE(fake.engine->Find(id)->refresh_due);
  }
  REQUIRE(failures > 20);
  REQUIRE(fake.engine->Find(id)->recalls.estimates == 1);
  fake.backend->FailCall(-1);
}

}  // namespace sparsed::engine
