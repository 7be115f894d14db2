// What an inspection says, against softmaxes in double precision; and that it changes nothing.
#include "engine/inspection.h"

#include <algorithm>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/testing/forwarding_backend.h"
#include "tests/unit/engine/tiny_engine.h"
#include "tests/unit/kernels/attention_oracle.h"

namespace sparsed::engine {
namespace {

constexpr int32_t kBlocks = 10;  // of the requests below, 32 tokens each but for the last
constexpr int32_t kSelectStep = 4;

Request SparseRequest() {
  Request request = MakeTinyRequest(250, 48, 16, 48);
  request.sparse.mode = SparseMode::kSparseD;
  request.sparse.block_size = 32;
  request.sparse.select = 0.3;
  return request;
}

// Keeps the importances of every probe in double precision. A probe is a selection that has room
// for its importances.
class OracleBackend : public testing::ForwardingBackend {
 public:
  OracleBackend(std::unique_ptr<kernels::Backend> inner, std::vector<std::vector<double>>* probes)
      : ForwardingBackend(std::move(inner)), probes_(probes) {}

  absl::Status Attention(const kernels::AttentionParams& params) override {
    for (const kernels::AttentionSequence& sequence : params.sequences) {
      if (sequence.mode != kernels::AttentionMode::kFullSelect) continue;
      if (sequence.selection.importance == nullptr) continue;
      probes_->push_back(kernels::OracleImportances(params, sequence).full);
    }
    return ForwardingBackend::Attention(params);
  }

 private:
  std::vector<std::vector<double>>* const probes_;
};

bool Keeps(const std::vector<uint64_t>& kept, int32_t n, int32_t query, int32_t key) {
  const int32_t words = (n + 63) / 64;
  return (kept[query * words + key / 64] >> (key % 64) & 1) != 0;
}

// The share of one head's importances [H, n, n] that lies in the kept blocks.
double OracleShare(const std::vector<double>& importances, int32_t head,
                   const std::vector<uint64_t>& kept, int32_t n) {
  double all = 0;
  double covered = 0;
  for (int32_t query = 0; query < n; ++query) {
    for (int32_t key = 0; key < n; ++key) {
      const double value = importances[(head * n + query) * n + key];
      all += value;
      if (Keeps(kept, n, query, key)) covered += value;
    }
  }
  return covered / all;
}

double OracleJaccard(const std::vector<uint64_t>& a, const std::vector<uint64_t>& b, int32_t n) {
  std::set<std::pair<int32_t, int32_t>> both;
  std::set<std::pair<int32_t, int32_t>> either;
  for (int32_t query = 0; query < n; ++query) {
    for (int32_t key = 0; key < n; ++key) {
      const bool in_a = Keeps(a, n, query, key);
      const bool in_b = Keeps(b, n, query, key);
      if (in_a && in_b) both.insert({query, key});
      if (in_a || in_b) either.insert({query, key});
    }
  }
  return static_cast<double>(both.size()) / static_cast<double>(either.size());
}

// All that was inspected, step by step.
std::vector<InspectedStep> Inspect(Engine& engine, const Request& request,
                                   Outcome* outcome = nullptr) {
  const SequenceId id = engine.Start(request).value();
  std::vector<InspectedStep> inspected;
  while (!engine.Find(id)->finished) {
    auto steps = engine.Step();
    REQUIRE(steps.ok());
    for (SequenceStep& step : *steps) {
      if (step.id == id && !step.inspected.heads.empty()) {
        inspected.push_back(std::move(step.inspected));
      }
    }
  }
  if (outcome != nullptr) *outcome = OutcomeOf(engine, id);
  engine.Remove(id);
  return inspected;
}

std::vector<int32_t> StepsOf(const std::vector<InspectedStep>& inspected) {
  std::vector<int32_t> steps;
  for (const InspectedStep& step : inspected) steps.push_back(step.step);
  return steps;
}

std::string FieldsOf(const std::vector<FieldViolation>& violations) {
  std::string fields;
  for (const FieldViolation& one : violations) fields += one.field + " ";
  return fields;
}

}  // namespace

TEST_CASE("Shares and Jaccard indices are those of plain loops, over word borders, too") {
  std::mt19937 random(3);
  for (const int32_t n : {1, 7, 64, 65, 130}) {
    CAPTURE(n);
    const size_t words = (n + 63) / 64;
    std::vector<float> importance(static_cast<size_t>(n) * n);
    for (float& value : importance) value = static_cast<float>(random() % 1000) / 1000.0f;
    std::vector<uint64_t> a(n * words);
    std::vector<uint64_t> b(n * words);
    for (int32_t query = 0; query < n; ++query) {
      for (int32_t key = 0; key < n; ++key) {
        if (random() % 3 == 0) a[query * words + key / 64] |= uint64_t{1} << (key % 64);
        if (key == 0 || random() % 2 == 0) b[query * words + key / 64] |= uint64_t{1} << (key % 64);
      }
    }
    const std::vector<double> wide(importance.begin(), importance.end());
    REQUIRE(KeptShare(importance, a, n) == Approx(OracleShare(wide, 0, a, n)).epsilon(1e-12));
    REQUIRE(JaccardIndex(a, b) == Approx(OracleJaccard(a, b, n)).epsilon(1e-12));
    REQUIRE(JaccardIndex(a, b) == JaccardIndex(b, a));
    REQUIRE(JaccardIndex(b, b) == 1);
  }
  REQUIRE(JaccardIndex(std::vector<uint64_t>{0}, std::vector<uint64_t>{0}) == 1);
  REQUIRE(KeptShare(std::vector<float>{0}, std::vector<uint64_t>{0}, 1) == 1);
}

TEST_CASE("Recall and similarity at full, select and sparse steps are the oracle's") {
  std::vector<std::vector<double>> probes;
  auto cpu = kernels::CreateBackend({"cpu", 2});
  REQUIRE(cpu.ok());
  auto engine = MakeTinyEngine(std::make_unique<OracleBackend>(*std::move(cpu), &probes));
  const ModelInfo& model = engine->model_info();
  Request request = SparseRequest();
  request.inspect = InspectParams{{}, {}, {1, 9, 15}, true};
  const std::vector<InspectedStep> inspected = Inspect(*engine, request);

  REQUIRE(StepsOf(inspected) == std::vector<int32_t>{1, kSelectStep, 9, 15});
  REQUIRE(inspected[0].kind == StepKind::kFull);
  REQUIRE(inspected[1].kind == StepKind::kSelect);
  REQUIRE(inspected[2].kind == StepKind::kSparse);
  REQUIRE(probes.size() == 4u * model.num_layers);
  double worst = 0;
  bool patterns_differ = false;
  for (size_t s = 0; s < inspected.size(); ++s) {
    REQUIRE(inspected[s].heads.size() == static_cast<size_t>(model.num_layers * model.num_heads));
    for (size_t i = 0; i < inspected[s].heads.size(); ++i) {
      const InspectedHead& head = inspected[s].heads[i];
      CAPTURE(s, head.layer, head.head);
      REQUIRE(head.layer == static_cast<int32_t>(i) / model.num_heads);
      REQUIRE(head.head == static_cast<int32_t>(i) % model.num_heads);
      const std::vector<double>& oracle = probes[s * model.num_layers + head.layer];
      const size_t first = static_cast<size_t>(head.head) * kBlocks * kBlocks;
      REQUIRE(head.importance.size() == size_t{kBlocks} * kBlocks);
      for (size_t j = 0; j < head.importance.size(); ++j) {
        REQUIRE(head.importance[j] == Approx(oracle[first + j]).margin(1e-6));
      }
      const auto& in_use = inspected[1].heads[i].kept;
      const double fresh = OracleShare(oracle, head.head, head.kept, kBlocks);
      REQUIRE(head.fresh_recall.has_value());
      worst = std::max(worst, std::abs(*head.fresh_recall - fresh));
      REQUIRE(head.recall.has_value() == (s >= 1));
      if (s >= 1) {
        const double recall = OracleShare(oracle, head.head, in_use, kBlocks);
        worst = std::max(worst, std::abs(*head.recall - recall));
        REQUIRE(*head.recall < 1);
      }
      REQUIRE(head.similarity.size() == s + 1);
      for (size_t before = 0; before <= s; ++before) {
        const double similarity =
            OracleJaccard(head.kept, inspected[before].heads[i].kept, kBlocks);
        REQUIRE(head.similarity[before] == Approx(similarity).epsilon(1e-12));
        patterns_differ = patterns_differ || similarity < 1;
      }
    }
  }
  CAPTURE(worst);
  REQUIRE(worst < 1e-5);
  REQUIRE(patterns_differ);
}

TEST_CASE("An inspection changes no token, and its select step shows the pattern in use") {
  auto engine = MakeTinyCpuEngine(2);
  for (const float cfg_scale : {0.0f, 1.0f}) {
    CAPTURE(cfg_scale);
    Request request = SparseRequest();
    request.sampling.cfg_scale = cfg_scale;
    const Outcome plain = RunAlone(*engine, request);
    request.inspect = InspectParams{{}, {}, {0, 3, 4, 5, 15}, false};
    Outcome with;
    const std::vector<InspectedStep> inspected = Inspect(*engine, request, &with);
    REQUIRE(with == plain);
    REQUIRE(StepsOf(inspected) == std::vector<int32_t>{0, 3, 4, 5, 15});

    const SequenceId id = engine->Start(request).value();
    while (engine->Find(id)->next_step <= kSelectStep) REQUIRE(engine->Step().ok());
    for (const InspectedHead& head : inspected[2].heads) {
      const kernels::BlockMaskView mask = engine->Find(id)->masks->Layer(0, head.layer);
      const uint64_t* row = mask.Row(head.head, 0);  // a CPU's memory is the host's
      REQUIRE(head.kept == std::vector<uint64_t>(row, row + kBlocks));
      REQUIRE(head.importance.empty());
    }
    engine->Remove(id);
  }
}

TEST_CASE("A full step shows what a request that selects there selects") {
  auto engine = MakeTinyCpuEngine(2);
  Request request = SparseRequest();
  request.inspect = InspectParams{{}, {}, {2}, true};
  const std::vector<InspectedStep> inspected = Inspect(*engine, request);
  REQUIRE(inspected[0].kind == StepKind::kFull);
  request.sparse.skip = 0.1;  // selects at step 2; up to there both are full attention
  const std::vector<InspectedStep> selected = Inspect(*engine, request);
  REQUIRE(selected[0].kind == StepKind::kSelect);
  for (size_t i = 0; i < selected[0].heads.size(); ++i) {
    REQUIRE(inspected[0].step == selected[0].step);
    REQUIRE(inspected[0].heads[i].kept == selected[0].heads[i].kept);
    REQUIRE(inspected[0].heads[i].importance == selected[0].heads[i].importance);
  }
}

TEST_CASE("The recall after a refresh is that of the new pattern") {
  auto engine = MakeTinyCpuEngine(2);
  Request request = SparseRequest();
  request.sparse.refresh_steps = {9};
  request.inspect = InspectParams{{}, {}, {8, 9, 10}, true};
  const std::vector<InspectedStep> inspected = Inspect(*engine, request);
  REQUIRE(StepsOf(inspected) == std::vector<int32_t>{kSelectStep, 8, 9, 10});
  REQUIRE(inspected[2].kind == StepKind::kSelect);
  REQUIRE(inspected[3].kind == StepKind::kSparse);
  bool differ = false;
  for (size_t i = 0; i < inspected[0].heads.size(); ++i) {
    const InspectedHead& before = inspected[1].heads[i];
    const InspectedHead& refresh = inspected[2].heads[i];
    const InspectedHead& after = inspected[3].heads[i];
    REQUIRE(before.recall == KeptShare(before.importance, inspected[0].heads[i].kept, kBlocks));
    REQUIRE(refresh.recall == refresh.fresh_recall);
    REQUIRE(after.recall == KeptShare(after.importance, refresh.kept, kBlocks));
    differ = differ || refresh.kept != inspected[0].heads[i].kept;
  }
  REQUIRE(differ);
}

TEST_CASE("An inspected request finds the same in company, and its company what it finds alone") {
  auto engine = MakeTinyCpuEngine(2);
  Request request = SparseRequest();
  request.inspect = InspectParams{{1}, {0}, {2, 12}, true};
  const std::vector<InspectedStep> alone = Inspect(*engine, request);
  Request other = MakeTinyRequest(90, 32, 16, 32);
  const Outcome other_alone = RunAlone(*engine, other);
  const SequenceId other_id = engine->Start(other).value();
  const std::vector<InspectedStep> in_company = Inspect(*engine, request);
  REQUIRE(OutcomeOf(*engine, other_id) == other_alone);
  REQUIRE(alone.size() == in_company.size());
  for (size_t s = 0; s < alone.size(); ++s) {
    REQUIRE(alone[s].heads.size() == 1);
    REQUIRE(alone[s].heads[0].layer == 1);
    REQUIRE(alone[s].heads[0].kept == in_company[s].heads[0].kept);
    REQUIRE(alone[s].heads[0].importance == in_company[s].heads[0].importance);
    REQUIRE(alone[s].heads[0].recall == in_company[s].heads[0].recall);
  }
}

TEST_CASE("Where everything is kept nothing is lost and all patterns are equal") {
  auto engine = MakeTinyCpuEngine(2);
  Request request = SparseRequest();
  request.sparse.select = 1.0;
  request.inspect = InspectParams{{}, {}, {2, 9}, false};
  for (const InspectedStep& step : Inspect(*engine, request)) {
    for (const InspectedHead& head : step.heads) {
      REQUIRE(head.fresh_recall == 1.0);
      if (step.step >= kSelectStep) REQUIRE(head.recall == 1.0);
      for (const double similarity : head.similarity) REQUIRE(similarity == 1);
    }
  }
}

TEST_CASE("Full attention can be inspected; another softmax than the attention's has no recall") {
  auto engine = MakeTinyCpuEngine(2);
  Request request = SparseRequest();
  request.sparse.mode = SparseMode::kOff;
  request.inspect = InspectParams{{0}, {0}, {2, 9}, false};
  const std::vector<InspectedStep> full = Inspect(*engine, request);
  REQUIRE(StepsOf(full) == std::vector<int32_t>{2, 9});
  for (const InspectedStep& step : full) {
    REQUIRE(step.kind == StepKind::kFull);
    REQUIRE_FALSE(step.heads[0].recall.has_value());
    REQUIRE(*step.heads[0].fresh_recall < 1);
  }
  request = SparseRequest();
  request.sparse.scale = SelectionScale::kNumHeads;
  REQUIRE(engine->model_info().num_heads != engine->model_info().head_dim);
  request.inspect = InspectParams{{0}, {0}, {9}, true};
  for (const InspectedStep& step : Inspect(*engine, request)) {
    REQUIRE_FALSE(step.heads[0].recall.has_value());
    REQUIRE_FALSE(step.heads[0].fresh_recall.has_value());
    REQUIRE(step.heads[0].importance.size() == size_t{kBlocks} * kBlocks);
  }
}

TEST_CASE("What an inspection takes is reserved, and freed with the sequence") {
  FakeEngine fake = MakeTinyFakeEngine();
  const uint64_t base = fake.backend->Info().allocated_bytes;
  Request request = SparseRequest();
  const Reservation plain = fake.engine->Estimate(request);
  REQUIRE(plain.inspection_bytes == 0);
  request.inspect = InspectParams{{1}, {0, 1}, {0, 8, 15}, true};
  const Reservation need = fake.engine->Estimate(request);
  REQUIRE(need.batch_tokens == plain.batch_tokens);
  // One layer: the pattern of 2 heads of 10 rows of a word, their importances; each of whole lines.
  REQUIRE(need.mask_cache_bytes == plain.mask_cache_bytes + 192 + 832);

  const SequenceId id = fake.engine->Start(request).value();
  REQUIRE(fake.engine->mask_cache_bytes() == need.mask_cache_bytes);
  REQUIRE(fake.backend->Info().allocated_bytes == base + need.mask_cache_bytes);
  int64_t returned = 0;
  while (!fake.engine->Find(id)->finished) {
    const auto steps = fake.engine->Step();
    REQUIRE(steps.ok());
    REQUIRE(fake.backend->Info().allocated_bytes == base + need.mask_cache_bytes);
    for (const InspectedHead& head : (*steps)[0].inspected.heads) {
      returned +=
          static_cast<int64_t>(sizeof(head) + 8 * head.kept.capacity() +
                               4 * head.importance.capacity() + 8 * head.similarity.capacity());
      returned += static_cast<int64_t>(8 * head.kept.size());  // what is kept to compare with
    }
  }
  REQUIRE(returned > 0);
  REQUIRE(returned <= need.inspection_bytes);
  REQUIRE(need.inspection_bytes < 2 * returned);
  fake.engine->Remove(id);
  REQUIRE(fake.engine->mask_cache_bytes() == 0);
  REQUIRE(fake.backend->Info().allocated_bytes == base);

  // Without room for it nothing is started.
  fake.backend->FailCall(1);
  REQUIRE(fake.engine->Start(request).status().code() == absl::StatusCode::kResourceExhausted);
  REQUIRE(fake.engine->running() == 0);
  REQUIRE(fake.backend->Info().allocated_bytes == base);
}

TEST_CASE("Whichever call of an inspected step fails, the step can be done again") {
  FakeEngine fake = MakeTinyFakeEngine();
  Request request = SparseRequest();
  request.inspect = InspectParams{{}, {}, {0, 1}, false};
  const SequenceId id = fake.engine->Start(request).value();
  for (size_t step = 0; step < 2; ++step) {
    int64_t failures = 0;
    for (;; ++failures) {
      CAPTURE(step, failures);
      fake.backend->FailCall(failures);
      const auto steps = fake.engine->Step();
      if (!steps.ok()) {
        REQUIRE(steps.status().code() == absl::StatusCode::kInternal);
        continue;
      }
      REQUIRE((*steps)[0].inspected.heads.size() == 4);
      REQUIRE((*steps)[0].inspected.heads[3].similarity == std::vector<double>(step + 1, 1.0));
      break;
    }
    REQUIRE(failures > 25);
    fake.backend->FailCall(-1);
  }
  fake.engine->Remove(id);
}

TEST_CASE("Numbers that are not there are named one by one, and a reply has its limits") {
  auto engine = MakeTinyCpuEngine(1);
  const ModelInfo& model = engine->model_info();
  Request request = SparseRequest();
  request.inspect = InspectParams{{0, 2}, {2, 1, 7}, {15, 16}, false};
  REQUIRE(FieldsOf(CheckRequest(request, model)) == "layers[1] heads[0] heads[2] steps[1] ");
  REQUIRE(CheckRequest(request, model)[0].description == "2 is not below the 2 layers");

  request.inspect = InspectParams{};
  request.inspect->steps.assign(InspectParams::kMaxSteps + 1, 0);
  REQUIRE(FieldsOf(CheckRequest(request, model)) == "steps ");
  // A long list must not become a long complaint.
  request.inspect->steps.assign(1, 0);
  request.inspect->layers.assign(100000, 99);
  REQUIRE(CheckRequest(request, model).size() == 16);

  request = SparseRequest();
  request.sparse.mode = SparseMode::kOff;
  request.inspect = InspectParams{};
  REQUIRE(FieldsOf(CheckRequest(request, model)) == "steps ");
  request.inspect->steps = {0};
  REQUIRE(CheckRequest(request, model).empty());

  ModelInfo large = model;
  large.max_tokens = 100000;
  request = MakeTinyRequest(32 * InspectParams::kMaxBlocks, 48, 16, 48);
  request.sparse.block_size = 32;
  REQUIRE(CheckRequest(request, large).empty());
  request.inspect = InspectParams{};
  REQUIRE(FieldsOf(CheckRequest(request, large)) == "sparse.block_size ");
  request.sparse.block_size = 64;
  REQUIRE(CheckRequest(request, large).empty());
}

}  // namespace sparsed::engine
