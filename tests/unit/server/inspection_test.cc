// An inspection on its way through the server: its fields, its events, the memory that it may hold.
#include "server/inspection.h"

#include <utility>

#include "server/inspection_outbox.h"
#include "server/stream.h"
#include "tests/unit/server/validate_fixture.h"

namespace sparsed::server {
namespace {

// A call whose reader decides when a write is done.
class ManualInspection final : public StreamOf<InspectionOutbox> {
 public:
  explicit ManualInspection(InspectionBudget* budget) : StreamOf(InspectionOutbox(budget)) {}
  using StreamOf::WriteDone;

  std::vector<v1::InspectResponse> writes;
  int finishes = 0;
  int aborts = 0;

 private:
  void StartWrite(const v1::InspectResponse& event) override { writes.push_back(event); }
  void FinishCall(const Failure*) override { ++finishes; }
  void AbortCall() override { ++aborts; }
};

engine::InspectedStep MakeStep(int32_t number, std::vector<std::optional<double>> recalls) {
  engine::InspectedStep step;
  step.step = number;
  step.kind = engine::StepKind::kSparse;
  for (const auto& recall : recalls) {
    engine::InspectedHead& head = step.heads.emplace_back();
    head.head = static_cast<int32_t>(step.heads.size()) - 1;
    head.kept = {1};
    head.recall = recall;
  }
  return step;
}

TimePoint AtSecond(int second) { return TimePoint(std::chrono::seconds(second)); }

}  // namespace

TEST_CASE_METHOD(ValidateFixture, "inspection: its wrong numbers are told with all others") {
  info.num_layers = 2;
  info.num_heads = 4;
  v1::InspectRequest wanted;
  for (const uint32_t layer : {0u, 2u, 4000000000u}) wanted.add_layers(layer);
  wanted.add_heads(4);
  wanted.add_steps(128);
  inspect = &wanted;
  v1::GenerateRequest request = Good();
  request.mutable_sampling()->set_temperature(-1);
  const auto wrong = Wrong(request);
  CHECK(wrong.size() == 5);
  CHECK(wrong.at("layers[1]") == "2 is not below the 2 layers");
  CHECK(wrong.at("layers[2]") == "2147483647 is not below the 2 layers");
  CHECK(wrong.at("heads[0]") == "4 is not below the 4 heads");
  CHECK(wrong.at("steps[0]") == "128 is not below the 128 denoising steps");
  CHECK(wrong.count("sampling.temperature") == 1);

  // In full attention nothing is selected unless a step is named.
  wanted.Clear();
  CHECK(OnlyWrong(Good()).rfind("steps: is empty", 0) == 0);
  wanted.add_steps(127);
  CHECK_FALSE(Check(Good()).has_value());
  REQUIRE(valid.request.inspect.has_value());
  CHECK(valid.request.inspect->steps == std::vector<int32_t>{127});
  inspect = nullptr;
  CHECK_FALSE(Check(Good()).has_value());
  CHECK_FALSE(valid.request.inspect.has_value());
}

TEST_CASE("inspection: the first event says what will be looked at") {
  engine::ModelInfo info;
  info.num_layers = 2;
  info.num_heads = 3;
  info.head_dim = 64;
  engine::Request request = engine::MakeRequest(std::vector<int32_t>(100, 17), 64, kMask);
  request.sampling.steps = 32;
  request.sparse.mode = engine::SparseMode::kSparseD;
  request.inspect = engine::InspectParams{{1, 0, 1}, {}, {20, 3}, false};
  v1::InspectionStarted started = DescribeInspection(request, info);
  CHECK(std::vector<uint32_t>(started.layers().begin(), started.layers().end()) ==
        std::vector<uint32_t>{0, 1});
  CHECK(started.heads_size() == 3);
  CHECK(std::vector<uint32_t>(started.steps().begin(), started.steps().end()) ==
        std::vector<uint32_t>{3, 7, 20});
  CHECK(started.select_step() == 7);
  CHECK(started.block_size() == 32);
  CHECK(started.blocks() == 6);
  CHECK(started.first_canvas_block() == 4);
  request.sparse.mode = engine::SparseMode::kOff;
  CHECK_FALSE(DescribeInspection(request, info).has_select_step());
}

TEST_CASE("inspection: rows of words become rows of bytes, the lowest bit first") {
  for (const size_t n : {1u, 8u, 9u, 64u, 70u, 130u}) {
    CAPTURE(n);
    engine::InspectedStep step = MakeStep(5, {0.5});
    engine::InspectedHead& head = step.heads[0];
    const size_t words = (n + 63) / 64;
    head.kept.assign(n * words, 0);
    const auto keeps = [](size_t query, size_t key) { return (query * 31 + key * 7) % 5 < 2; };
    for (size_t query = 0; query < n; ++query) {
      for (size_t key = 0; key < n; ++key) {
        if (keeps(query, key)) head.kept[query * words + key / 64] |= uint64_t{1} << (key % 64);
      }
    }
    const v1::HeadPattern pattern = ToHeadPattern(step, 0);
    const size_t bytes = (n + 7) / 8;
    REQUIRE(pattern.kept().size() == n * bytes);
    for (size_t query = 0; query < n; ++query) {
      for (size_t key = 0; key < 8 * bytes; ++key) {
        const auto byte = static_cast<unsigned char>(pattern.kept()[query * bytes + key / 8]);
        REQUIRE((byte >> (key % 8) & 1) == (key < n && keeps(query, key) ? 1 : 0));
      }
    }
    CHECK(pattern.step() == 5);
    CHECK(pattern.kind() == v1::STEP_KIND_SPARSE);
    CHECK(pattern.recall() == 0.5);
    CHECK_FALSE(pattern.has_fresh_recall());
  }
}

TEST_CASE("inspection: started, heads in their order, and the final event with the mean recall") {
  InspectionBudget budget(100);
  ManualInspection call(&budget);
  v1::InspectionStarted started;
  started.set_blocks(1);
  REQUIRE_FALSE(call.ExpectInspection(started, 60).has_value());
  call.OnInspected(MakeStep(3, {std::nullopt, 0.5}));
  CHECK(call.writes.empty());
  v1::Accepted accepted;
  accepted.set_seed(9);
  call.Accept(accepted);
  call.OnBlock({});
  call.OnProgress({});
  call.OnInspected(engine::InspectedStep());  // a step that was not inspected
  call.OnInspected(MakeStep(4, {0.75, 1.0}));
  call.OnResult({}, {});
  while (call.finishes == 0) call.WriteDone(true);
  REQUIRE(call.writes.size() == 6);
  CHECK(call.writes[0].started().blocks() == 1);
  CHECK(call.writes[0].started().accepted().seed() == 9);
  for (size_t i = 0; i < 4; ++i) {
    CHECK(call.writes[i + 1].head().step() == 3 + i / 2);
    CHECK(call.writes[i + 1].head().head() == i % 2);
  }
  CHECK(call.writes[5].final().sparse().recall() == 0.75f);
}

TEST_CASE("inspection: memory is taken before the queue and held until the call is over") {
  InspectionBudget budget(100);
  auto first = std::make_unique<ManualInspection>(&budget);
  ManualInspection second(&budget);
  ManualInspection third(&budget);
  REQUIRE_FALSE(first->ExpectInspection({}, 60).has_value());
  CHECK(budget.used() == 60);
  const std::optional<Failure> full = second.ExpectInspection({}, 41);
  REQUIRE(full.has_value());
  CHECK(full->code() == grpc::StatusCode::RESOURCE_EXHAUSTED);
  CHECK(full->reason == "inspections_full");
  CHECK(full->pushback_ms.value_or(-1) > 0);
  CHECK(DetailOf<google::rpc::QuotaFailure>(*full).violations(0).subject() ==
        "max_inspection_bytes");
  CHECK(budget.used() == 60);
  REQUIRE_FALSE(second.ExpectInspection({}, 40).has_value());
  const std::optional<Failure> never = third.ExpectInspection({}, 101);
  REQUIRE(never.has_value());
  CHECK(never->reason == "never_fits");
  first->OnFailure(Cancelled(), {});
  CHECK(budget.used() == 100);
  first.reset();
  CHECK(budget.used() == 40);
}

TEST_CASE("inspection: a reader that leaves heads unread is too slow") {
  constexpr std::chrono::seconds kLimit(10);
  InspectionBudget budget(100);
  ManualInspection call(&budget);
  call.Accept({});
  CHECK_FALSE(call.CheckReader(AtSecond(0), kLimit));
  CHECK_FALSE(call.CheckReader(AtSecond(100), kLimit));  // nothing waits
  call.OnInspected(MakeStep(3, {0.5}));
  CHECK_FALSE(call.CheckReader(AtSecond(101), kLimit));
  CHECK(call.CheckReader(AtSecond(111), kLimit));
  CHECK(call.too_slow());
  call.OnFailure(SlowConsumer(), {});
  CHECK(call.aborts == 0);
  CHECK_FALSE(call.CheckReader(AtSecond(120), kLimit));
  CHECK(call.CheckReader(AtSecond(121), kLimit));
  CHECK(call.aborts == 1);
}

}  // namespace sparsed::server
