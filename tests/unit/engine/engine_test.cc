// The engine on a backend without arithmetic: schedule, reservations, error paths.
#include "engine/engine.h"

#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/unit/engine/tiny_engine.h"

namespace sparsed::engine {
namespace {

using testing::FakeBackend;
using testing::FakeBackendOptions;

std::vector<SequenceStep> StepOk(Engine& engine) {
  auto steps = engine.Step();
  REQUIRE(steps.ok());
  return std::move(steps).value();
}

int32_t FakeToken(uint64_t seed, int32_t step, int32_t position) {
  return FakeBackend::TokenFor(seed, static_cast<uint32_t>(step), static_cast<uint32_t>(position),
                               128, 5);
}

}  // namespace

TEST_CASE("A step commits the scheduled number of tokens, only up to the block's end") {
  FakeEngine fake = MakeTinyFakeEngine();
  Request request = MakeTinyRequest(10, 64, 24, 32);  // 12 steps a block: 3 x 8, 2 x 4
  request.sampling.seed = 3;
  const SequenceId id = fake.engine->Start(request).value();
  std::set<int32_t> committed;
  for (int32_t step = 0; step < 24; ++step) {
    CAPTURE(step);
    const std::vector<SequenceStep> steps = StepOk(*fake.engine);
    REQUIRE(steps.size() == 1);
    REQUIRE(steps[0].id == id);
    REQUIRE(steps[0].step == step);
    REQUIRE(steps[0].commits.size() == (step % 12 < 8 ? 3u : 2u));
    float previous = 1;
    for (const Commit& commit : steps[0].commits) {
      REQUIRE(commit.canvas_index / 32 == step / 12);
      REQUIRE(committed.insert(commit.canvas_index).second);
      REQUIRE(commit.token == FakeToken(3, step, 10 + commit.canvas_index));
      REQUIRE(commit.confidence <= previous);
      previous = commit.confidence;
      const Sequence* sequence = fake.engine->Find(id);
      REQUIRE(sequence->ids[10 + commit.canvas_index] == commit.token);
      REQUIRE(sequence->confidences[commit.canvas_index] == commit.confidence);
      REQUIRE(sequence->commit_steps[commit.canvas_index] == step);
    }
    REQUIRE(steps[0].block_finished == (step % 12 == 11));
    REQUIRE(steps[0].finished == (step == 23));
  }
  REQUIRE(committed.size() == 64);
  REQUIRE(StepOk(*fake.engine).empty());  // finished, but still held
  REQUIRE(fake.engine->running() == 1);
}

TEST_CASE("Step kinds are counted and the density is the pattern's") {
  FakeEngine fake = MakeTinyFakeEngine();
  Request request = MakeTinyRequest(224, 96, 32, 96);
  request.sparse.mode = SparseMode::kSparseD;
  const SequenceId id = fake.engine->Start(request).value();
  std::vector<StepKind> kinds;
  while (!fake.engine->Find(id)->finished) kinds.push_back(StepOk(*fake.engine)[0].kind);
  REQUIRE(kinds.size() == 32);
  REQUIRE(std::count(kinds.begin(), kinds.end(), StepKind::kFull) == 7);
  REQUIRE(kinds[7] == StepKind::kSelect);
  REQUIRE(std::count(kinds.begin(), kinds.end(), StepKind::kSparse) == 24);
  const Sequence* sequence = fake.engine->Find(id);
  REQUIRE(sequence->counts.full == 7);
  REQUIRE(sequence->counts.select == 1);
  REQUIRE(sequence->counts.sparse == 24);
  REQUIRE(sequence->density == Approx(0.6));  // 10 blocks: 0 2 4 6 8 and 9 are kept
}

TEST_CASE("A sampled mask token leaves its position masked, to compete again") {
  FakeBackendOptions options;
  options.mask_seeds = {9};
  FakeEngine fake = MakeTinyFakeEngine(options);
  Request request = MakeTinyRequest(4, 32, 16, 16);
  request.sampling.seed = 9;
  const SequenceId id = fake.engine->Start(request).value();
  int32_t committed = 0;
  int32_t from_first_block_later = 0;
  for (int32_t step = 0; step < 16; ++step) {
    const std::vector<SequenceStep> steps = StepOk(*fake.engine);
    for (const Commit& commit : steps[0].commits) {
      REQUIRE(commit.token != 5);
      ++committed;
      if (step >= 8 && commit.canvas_index < 16) ++from_first_block_later;
    }
  }
  const std::vector<int32_t> canvas = fake.engine->Find(id)->CanvasIds(fake.engine->model_info());
  REQUIRE(fake.engine->Find(id)->finished);
  REQUIRE(committed < 32);
  REQUIRE(std::count(canvas.begin(), canvas.end(), 5) == 32 - committed);
  REQUIRE(from_first_block_later > 0);
}

TEST_CASE("Blocks behind an end token are not computed, and hold end tokens") {
  int32_t stopped_early = 0;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    CAPTURE(seed);
    FakeEngine fake = MakeTinyFakeEngine();
    Request request = MakeTinyRequest(4, 64, 32, 16);
    request.sampling.seed = seed;
    const SequenceId all = fake.engine->Start(request).value();
    request.sampling.stop_at_end = true;
    const SequenceId stopping = fake.engine->Start(request).value();
    while (!fake.engine->Find(all)->finished) StepOk(*fake.engine);

    const std::vector<int32_t> full = fake.engine->Find(all)->CanvasIds(fake.engine->model_info());
    const auto is_end = [](int32_t token) { return token == 1 || token == 4; };
    const int32_t end =
        static_cast<int32_t>(std::find_if(full.begin(), full.end(), is_end) - full.begin());
    const int32_t blocks = std::min(end / 16 + 1, 4);
    const Sequence* sequence = fake.engine->Find(stopping);
    REQUIRE(sequence->finished);
    REQUIRE(sequence->next_step == blocks * 8);
    std::vector<int32_t> expected(full.begin(), full.begin() + blocks * 16);
    expected.resize(64, 1);
    REQUIRE(sequence->CanvasIds(fake.engine->model_info()) == expected);
    if (blocks < 4) ++stopped_early;
  }
  REQUIRE(stopped_early > 3);
}

TEST_CASE("Start reserves what Estimate says, Remove frees it at once") {
  FakeEngine fake = MakeTinyFakeEngine();
  const uint64_t base = fake.backend->Info().allocated_bytes;
  Request request = MakeTinyRequest(224, 96, 32, 96);
  request.sparse.mode = SparseMode::kSparseD;
  request.sampling.cfg_scale = 1;
  const Reservation reservation = fake.engine->Estimate(request);
  REQUIRE(reservation.batch_tokens == 640);
  REQUIRE(reservation.mask_cache_bytes == 2 * 2 * 2 * 10 * 8);  // passes, layers, heads, rows, word
  const SequenceId id = fake.engine->Start(request).value();
  REQUIRE(fake.engine->batch_tokens() == 640);
  REQUIRE(fake.engine->mask_cache_bytes() == reservation.mask_cache_bytes);
  REQUIRE(fake.backend->Info().allocated_bytes == base + reservation.mask_cache_bytes);

  request.sparse.mode = SparseMode::kOff;
  const SequenceId full = fake.engine->Start(request).value();
  REQUIRE(fake.engine->mask_cache_bytes() == reservation.mask_cache_bytes);
  StepOk(*fake.engine);
  fake.engine->Remove(id);
  fake.engine->Remove(id);  // unknown by now
  REQUIRE(fake.engine->Find(id) == nullptr);
  REQUIRE(fake.engine->running() == 1);
  REQUIRE(fake.engine->mask_cache_bytes() == 0);
  fake.engine->Remove(full);
  REQUIRE(fake.engine->batch_tokens() == 0);
  REQUIRE(fake.backend->Info().allocated_bytes == base);
}

TEST_CASE("A step allocates nothing on the device") {
  FakeEngine fake = MakeTinyFakeEngine();
  Request request = MakeTinyRequest(200, 56, 28, 56);
  request.sparse.mode = SparseMode::kSparseD;
  for (int i = 0; i < 3; ++i) REQUIRE(fake.engine->Start(request).ok());
  const uint64_t before = fake.backend->Info().allocated_bytes;
  for (int step = 0; step < 28; ++step) {
    StepOk(*fake.engine);
    REQUIRE(fake.backend->Info().allocated_bytes == before);
  }
}

TEST_CASE("Start refuses what does not fit or is not valid, and nothing changes") {
  FakeEngine fake = MakeTinyFakeEngine({}, 512);
  Request request = MakeTinyRequest(200, 56, 28, 56);  // 256 rows
  REQUIRE(fake.engine->Start(request).ok());
  REQUIRE(fake.engine->Start(request).ok());
  const absl::Status full = fake.engine->Start(request).status();
  REQUIRE(full.code() == absl::StatusCode::kResourceExhausted);
  REQUIRE(std::string(full.message()).find("512") != std::string::npos);
  REQUIRE(fake.engine->running() == 2);

  request.sampling.steps = 0;
  const absl::Status invalid = fake.engine->Start(request).status();
  REQUIRE(invalid.code() == absl::StatusCode::kInvalidArgument);
  REQUIRE(std::string(invalid.message()).find("sampling.steps") != std::string::npos);
  REQUIRE(fake.engine->running() == 2);
  REQUIRE(fake.engine->batch_tokens() == 512);
}

TEST_CASE("Start without room for the mask cache changes nothing") {
  FakeEngine fake = MakeTinyFakeEngine();
  Request request = MakeTinyRequest(200, 56, 28, 56);
  request.sparse.mode = SparseMode::kSparseD;
  fake.backend->FailCall(0);
  REQUIRE(fake.engine->Start(request).status().code() == absl::StatusCode::kResourceExhausted);
  REQUIRE(fake.engine->running() == 0);
  REQUIRE(fake.engine->batch_tokens() == 0);
  REQUIRE(fake.engine->mask_cache_bytes() == 0);
  REQUIRE(fake.engine->Start(request).ok());
}

TEST_CASE("Both passes of a guided sequence count, at the backend's alignment") {
  FakeBackendOptions options;
  options.row_alignment = 64;
  FakeEngine fake = MakeTinyFakeEngine(options);
  Request request = MakeTinyRequest(90, 10, 10, 10);
  REQUIRE(fake.engine->Estimate(request).batch_tokens == 128);
  request.sampling.cfg_scale = 0.5f;
  REQUIRE(fake.engine->Estimate(request).batch_tokens == 256);
  for (int i = 0; i < 3; ++i) REQUIRE(fake.engine->Start(request).ok());
  REQUIRE(StepOk(*fake.engine).size() == 3);  // the fake checks the alignment
}

TEST_CASE("NaN fails its own sequence only") {
  FakeBackendOptions options;
  options.nan_seeds = {66};
  FakeEngine fake = MakeTinyFakeEngine(options);
  Request request = MakeTinyRequest(20, 16, 8, 16);
  request.sampling.seed = 1;
  const SequenceId first = fake.engine->Start(request).value();
  request.sampling.seed = 66;
  const SequenceId broken = fake.engine->Start(request).value();
  request.sampling.seed = 2;
  const SequenceId last = fake.engine->Start(request).value();

  const std::vector<SequenceStep> steps = StepOk(*fake.engine);
  REQUIRE(steps.size() == 3);
  REQUIRE(steps[0].error.ok());
  REQUIRE(steps[1].error.code() == absl::StatusCode::kInternal);
  REQUIRE(steps[1].id == broken);
  REQUIRE(steps[1].commits.empty());
  REQUIRE(steps[2].error.ok());
  fake.engine->Remove(broken);
  while (!fake.engine->Find(first)->finished) REQUIRE(StepOk(*fake.engine).size() == 2);
  REQUIRE(fake.engine->Find(last)->finished);
}

TEST_CASE("Whichever call of a step fails, the step is INTERNAL and no sequence changes") {
  FakeEngine fake = MakeTinyFakeEngine();
  Request request = MakeTinyRequest(200, 56, 28, 56);
  request.sparse.mode = SparseMode::kSparseD;
  const SequenceId id = fake.engine->Start(request).value();
  // The selecting step has the most calls: go there.
  while (KindOfStep(fake.engine->Find(id)->plan, fake.engine->Find(id)->next_step) !=
         StepKind::kSelect) {
    StepOk(*fake.engine);
  }
  const std::vector<int32_t> ids = fake.engine->Find(id)->ids;
  const int32_t next_step = fake.engine->Find(id)->next_step;
  int64_t failures = 0;
  for (;; ++failures) {
    CAPTURE(failures);
    fake.backend->FailCall(failures);
    auto steps = fake.engine->Step();
    if (steps.ok()) break;
    REQUIRE(steps.status().code() == absl::StatusCode::kInternal);
    REQUIRE(fake.engine->Find(id)->ids == ids);
    REQUIRE(fake.engine->Find(id)->next_step == next_step);
  }
  // Copies in and out, two layers of eight operations or more, head and sampling.
  REQUIRE(failures > 25);
  REQUIRE(fake.engine->Find(id)->next_step == next_step + 1);
}

TEST_CASE("Whichever call of the start-up fails, all memory is freed") {
  int64_t failures = 0;
  for (;; ++failures) {
    CAPTURE(failures);
    FakeBackend* const fake = new FakeBackend();  // its destructor checks that nothing is left
    std::unique_ptr<kernels::Backend> backend(fake);
    fake->FailCall(failures);
    auto model = MakeSyntheticModel("tiny", kTinySeed, *backend);
    if (!model.ok()) continue;
    auto engine = Engine::Create(std::move(backend), std::move(model).value(), {});
    if (engine.ok()) break;
    REQUIRE(engine.status().code() == absl::StatusCode::kResourceExhausted);
  }
  REQUIRE(failures > 30);
}

TEST_CASE("A step allocates nothing, copies in once and out once, and waits for nothing else") {
  FakeEngine fake = MakeTinyFakeEngine();
  Request request = MakeTinyRequest(200, 56, 28, 56);
  request.sparse.mode = SparseMode::kSparseD;
  for (uint64_t seed = 0; seed < 5; ++seed) {
    request.sampling.seed = seed;
    request.sampling.cfg_scale = seed % 2 == 0 ? 0.0f : 1.0f;
    REQUIRE(fake.engine->Start(request).ok());
  }
  const std::vector<const char*> operations = {"Alloc", "CopyIn", "CopyOut", "Sync", "PackLinear"};
  const std::vector<int64_t> of_a_step = {0, 1, 1, 0, 0};
  for (int step = 0; step < 28; ++step) {
    CAPTURE(step);
    std::vector<int64_t> before;
    for (const char* operation : operations) before.push_back(fake.backend->calls_of(operation));
    StepOk(*fake.engine);
    for (size_t i = 0; i < operations.size(); ++i) {
      CAPTURE(operations[i]);
      REQUIRE(fake.backend->calls_of(operations[i]) - before[i] == of_a_step[i]);
    }
  }
}

TEST_CASE("Step times cover the step") {
  FakeEngine fake = MakeTinyFakeEngine();
  REQUIRE(fake.engine->Start(MakeTinyRequest(100, 28, 28, 28)).ok());
  StepOk(*fake.engine);
  const StepTimes& times = fake.engine->last_step_times();
  REQUIRE(times.batch_tokens == 128);
  REQUIRE(times.query_rows == 128);  // one tile
  REQUIRE(times.head_rows == 28);
  double parts = 0;
  for (const double seconds : times.part_seconds) parts += seconds;
  REQUIRE(parts > 0);
  REQUIRE(parts <= times.total_seconds);
}

TEST_CASE("Synthetic models have the parameters of the checkpoints they stand for") {
  REQUIRE(SyntheticModelInfo("llada-8b")->parameters == 8015581184);
  REQUIRE(SyntheticModelInfo("nano")->parameters == 17308032);
  REQUIRE(SyntheticModelInfo("dream-7b")->parameters == 7615616512);
  REQUIRE(SyntheticModelInfo("llada-moe")->parameters == 7356880896);
}

TEST_CASE("An unknown synthetic shape is refused") {
  FakeBackend backend;
  for (const char* shape : {"huge", "tiny:0", "tiny:x", "tiny:", "tiny:2:2", "tiny:5000"}) {
    CAPTURE(shape);
    REQUIRE(MakeSyntheticModel(shape, 1, backend).status().code() ==
            absl::StatusCode::kInvalidArgument);
  }
}

TEST_CASE("A synthetic shape may have another number of layers") {
  FakeBackend backend;
  const auto model = MakeSyntheticModel("tiny:5", 1, backend);
  REQUIRE(model.ok());
  REQUIRE((*model)->info().num_layers == 5);
  REQUIRE(SyntheticModelInfo("llada-8b:32")->parameters ==
          SyntheticModelInfo("llada-8b")->parameters);
}

}  // namespace sparsed::engine
