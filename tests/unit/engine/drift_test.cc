// A model made by hand, in which a commit redirects the attention of all that is still masked: what
// was selected before it misses the block that matters after it.
#include <bit>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/models/families.h"
#include "tests/unit/engine/tiny_engine.h"

namespace sparsed::engine {
namespace {

// TokenCounts, and the element of the hidden state that each sets.
constexpr int32_t kMask = 5;
constexpr int32_t kFirst = 10;    // what is committed first
constexpr int32_t kPointer = 11;  // what is committed next: it points to kEvidence
constexpr int32_t kWrong = 12;    // what is committed then, if kEvidence is not seen
constexpr int32_t kRight = 13;    // what is committed then, if it is
constexpr int32_t kFiller = 20;
constexpr int32_t kDecoy = 21;     // what everything looks at before kPointer is there
constexpr int32_t kEvidence = 22;  // what everything looks at from then on
const std::map<int32_t, int64_t> kElements = {{kFiller, 0}, {kDecoy, 1}, {kEvidence, 2},
                                              {kMask, 3},   {kFirst, 4}, {kPointer, 5},
                                              {kWrong, 6},  {kRight, 7}};
// Elements that attention sets.
constexpr int64_t kSawFirst = 8;
constexpr int64_t kSawPointer = 9;
constexpr int64_t kSawEvidence = 10;
// Elements of queries and keys; the slow half, which the rotation leaves where it is.
constexpr int64_t kLook = 16;
constexpr int64_t kLookAtDecoy = 17;
constexpr int64_t kLookAtEvidence = 18;

constexpr int64_t kSize = 64;  // of the hidden state and of the only head

struct WeightEntry {
  int64_t row;
  int64_t col;
  float value;
};

std::vector<WeightEntry> ForEachToken(int64_t row, float value) {
  std::vector<WeightEntry> entries;
  for (const auto& [token, element] : kElements) entries.push_back({row, element, value});
  return entries;
}

// The elements of a matrix that are not zero. Normalised rows have elements of up to 8: of two
// equal ones, 5.7.
std::vector<WeightEntry> EntriesOf(const std::string& name) {
  const auto is = [&](const char* part) { return name.find(part) != std::string::npos; };
  const bool second = is(".1.");
  std::vector<WeightEntry> entries;
  if (is("wte")) {
    for (const auto& [token, element] : kElements) entries.push_back({token, element, 1});
  } else if (is("q_proj")) {
    // All tokens look for kPointer, else kFirst; then at kDecoy, or once kPointer was seen at
    // kEvidence.
    entries = ForEachToken(second ? kLookAtDecoy : kLook, 1);
    if (second) {
      for (const WeightEntry& away : ForEachToken(kLookAtEvidence, -1)) entries.push_back(away);
      entries.push_back({kLookAtEvidence, kSawPointer, 3});
    }
  } else if (is("k_proj")) {
    if (second) {
      entries = {{kLookAtDecoy, 1, 3}, {kLookAtEvidence, 2, 3}};
    } else {
      entries = {{kLook, 5, 3}, {kLook, 4, 1.5}};
    }
  } else if (is("v_proj")) {
    if (second) {
      entries = {{kSawEvidence, 2, 0.1875}};
    } else {
      entries = {{kSawFirst, 4, 0.125}, {kSawPointer, 5, 0.125}};
    }
  } else if (is("attn_out")) {
    for (const int64_t element : {kSawFirst, kSawPointer, kSawEvidence}) {
      entries.push_back({element, element, 1});
    }
  } else if (is("ff_out") && !is("blocks")) {
    entries = {{kFirst, 3, 2},
               {kPointer, kSawFirst, 4},
               {kWrong, kSawPointer, 4},
               {kRight, kSawEvidence, 8}};
  }
  return entries;
}

uint16_t ToBf16(float value) {
  return static_cast<uint16_t>(std::bit_cast<uint32_t>(value) >> 16);  // exact for those above
}

std::unique_ptr<Engine> MakePointerEngine() {
  auto backend = kernels::CreateBackend({"cpu", 2});
  REQUIRE(backend.ok());
  auto tiny = MakeSyntheticModel("tiny", kTinySeed, **backend);
  REQUIRE(tiny.ok());
  ModelInfo info = (*tiny)->info();
  tiny->reset();
  REQUIRE(info.hidden_size == kSize);
  REQUIRE(info.num_layers == 2);
  info.num_heads = 1;
  info.num_kv_heads = 1;
  info.head_dim = kSize;
  info.rope_theta = 1e12f;
  const WeightSource source = [](const std::string& name, int64_t rows,
                                 int64_t cols) -> absl::StatusOr<SourceMatrix> {
    SourceMatrix matrix;
    // Norms alone are vectors.
    matrix.storage.assign(rows * cols, rows == 1 ? ToBf16(1) : 0);
    for (const WeightEntry& entry : EntriesOf(name)) {
      matrix.storage[entry.row * cols + entry.col] = ToBf16(entry.value);
    }
    matrix.matrix = {matrix.storage.data(), kernels::DType::kBF16, rows, cols};
    return matrix;
  };
  auto model = CreateModel(info, source, **backend, {});
  REQUIRE(model.ok());
  auto engine = Engine::Create(std::move(backend).value(), std::move(model).value(), {});
  REQUIRE(engine.ok());
  return std::move(engine).value();
}

// kDecoy in the second of eight blocks, kEvidence in the sixth, then 16 canvas positions. One block
// of the prompt is kept. The step that selects, step 1, commits kPointer.
Request PointerRequest() {
  std::vector<int32_t> prompt(256, kFiller);
  prompt[40] = kDecoy;
  prompt[170] = kEvidence;
  Request request = MakeRequest(prompt, 16, kMask);
  request.sampling.steps = 16;
  request.sampling.block_length = 16;
  request.sampling.stop_at_end = false;
  request.sparse.mode = SparseMode::kSparseD;
  request.sparse.skip = 0;
  request.sparse.block_size = 32;
  request.sparse.select = 0.1;
  return request;
}

struct PointerRun {
  std::map<int32_t, int> tokens;  // how many of each
  StepCounts counts;
  RecallCounts recalls;
  std::vector<double> estimates;
};

PointerRun RunPointer(const Request& request) {
  auto engine = MakePointerEngine();
  const SequenceId id = engine->Start(request).value();
  PointerRun run;
  while (!engine->Find(id)->finished) {
    const auto steps = engine->Step();
    REQUIRE(steps.ok());
    if (steps->front().recall) run.estimates.push_back(*steps->front().recall);
  }
  const Sequence& sequence = *engine->Find(id);
  for (const int32_t token : sequence.CanvasIds(engine->model_info())) ++run.tokens[token];
  run.counts = sequence.counts;
  run.recalls = sequence.recalls;
  return run;
}

using TokenCounts = std::map<int32_t, int>;

}  // namespace

TEST_CASE("A commit redirects attention: full attention follows, plain SparseD cannot") {
  Request request = PointerRequest();
  request.sparse.mode = SparseMode::kOff;
  REQUIRE(RunPointer(request).tokens == TokenCounts{{kFirst, 1}, {kPointer, 1}, {kRight, 14}});

  const PointerRun plain = RunPointer(PointerRequest());
  REQUIRE(plain.tokens == TokenCounts{{kFirst, 1}, {kPointer, 1}, {kWrong, 14}});
  REQUIRE(plain.counts.sparse == 14);
}

TEST_CASE("Estimates show the loss, and a floor makes it good by one refresh") {
  Request request = PointerRequest();
  request.sparse.recall_every = 1;
  const PointerRun watched = RunPointer(request);
  REQUIRE(watched.tokens.at(kWrong) == 14);
  REQUIRE(watched.estimates.size() == 14);
  for (const double estimate : watched.estimates) REQUIRE(estimate < 0.6);

  request.sparse.recall_floor = 0.9;
  const PointerRun guarded = RunPointer(request);
  // Step 2 has committed when its recall is known; step 3 selects.
  REQUIRE(guarded.tokens == TokenCounts{{kFirst, 1}, {kPointer, 1}, {kWrong, 1}, {kRight, 13}});
  REQUIRE(guarded.counts.full == 1);
  REQUIRE(guarded.counts.select == 2);
  REQUIRE(guarded.counts.sparse == 13);
  REQUIRE(guarded.recalls.below_floor == 1);
  REQUIRE(guarded.estimates.front() == guarded.recalls.lowest);
  for (size_t i = 1; i < guarded.estimates.size(); ++i) REQUIRE(guarded.estimates[i] > 0.99);
}

TEST_CASE("Below the floor a request can return to full attention instead") {
  Request request = PointerRequest();
  request.sparse.recall_every = 1;
  request.sparse.recall_floor = 0.9;
  request.sparse.below_floor = FloorAction::kFull;
  const PointerRun guarded = RunPointer(request);
  REQUIRE(guarded.tokens == TokenCounts{{kFirst, 1}, {kPointer, 1}, {kWrong, 1}, {kRight, 13}});
  REQUIRE(guarded.counts.full == 14);
  REQUIRE(guarded.counts.select == 1);
  REQUIRE(guarded.counts.sparse == 1);
  // A scheduled refresh selects nothing any more.
  request.sparse.refresh_steps = {9};
  REQUIRE(RunPointer(request).counts.select == 1);
}

TEST_CASE("A refresh on a schedule saves what comes after it") {
  Request request = PointerRequest();
  request.sparse.refresh_steps = {6};
  const PointerRun run = RunPointer(request);
  REQUIRE(run.tokens == TokenCounts{{kFirst, 1}, {kPointer, 1}, {kWrong, 4}, {kRight, 10}});
  REQUIRE(run.counts.select == 2);
}

}  // namespace sparsed::engine
