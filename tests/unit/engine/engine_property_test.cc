// What must hold for any mix of requests, on the tiny model with the real CPU backend.
#include <algorithm>
#include <iterator>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "engine/models/families.h"
#include "tests/testing/sanitizers.h"
#include "tests/unit/engine/tiny_engine.h"

namespace sparsed::engine {
namespace {

using testing::kAddressSanitizer;
using testing::kThreadSanitizer;

constexpr int kMixedRequests = kThreadSanitizer ? 6 : kAddressSanitizer ? 16 : 40;
constexpr int kOtherRequests = kThreadSanitizer ? 3 : 6;  // of the families beside LLaDA
constexpr int kOrders = kThreadSanitizer ? 1 : kAddressSanitizer ? 2 : 4;
constexpr int kMaxPromptTokens = kThreadSanitizer ? 100 : 300;

struct Kind {
  const char* shape;
  kernels::WeightType weights;
};

// One of every family, and int8 weights. What Dream adds is not of the threads.
constexpr Kind kKinds[] = {{"tiny", kernels::WeightType::kFull},
                           {"tiny-llada-moe", kernels::WeightType::kFull},
#if !defined(__SANITIZE_THREAD__)
                           {"tiny-dream", kernels::WeightType::kFull},
                           {"tiny-dream", kernels::WeightType::kInt8}
#endif
};

bool IsFirst(const Kind& kind) { return kind.shape == kKinds[0].shape; }

template <typename T>
T Pick(std::mt19937& random, std::initializer_list<T> values) {
  return *(values.begin() + random() % values.size());
}

// Canvas positions scattered over the sequence, as a template with holes has them.
void MakeHoles(std::mt19937& random, bool first_is_given, Request& request) {
  const int32_t num_tokens = static_cast<int32_t>(request.ids.size());
  const int32_t gen_length = static_cast<int32_t>(request.canvas.size());
  std::vector<int32_t> positions(num_tokens);
  for (int32_t i = 0; i < num_tokens; ++i) positions[i] = i;
  std::shuffle(positions.begin(), positions.end(), random);
  if (first_is_given) positions.erase(std::find(positions.begin(), positions.end(), 0));
  positions.resize(gen_length);
  std::sort(positions.begin(), positions.end());
  request.canvas = positions;
  for (int32_t i = 0; i < num_tokens; ++i) request.ids[i] = 6 + (i * 37 + 11) % 120;
  for (const int32_t position : positions) request.ids[position] = 5;
}

Request RandomRequest(std::mt19937& random, const ModelInfo& model) {
  const int32_t gen_length = Pick(random, {8, 16, 24, 32, 48});
  const Remasking remasking =
      Pick(random, {Remasking::kLowConfidence, Remasking::kLowConfidence, Remasking::kRandom,
                    Remasking::kOrigin, Remasking::kMaskgitPlus, Remasking::kTopkMargin,
                    Remasking::kEntropy});
  const bool dream = IsDreamRule(remasking);
  const int32_t block_length = dream ? gen_length : Pick(random, {gen_length, gen_length / 2, 8});
  const int32_t blocks = gen_length / block_length;
  const int32_t steps = blocks * (1 + static_cast<int32_t>(random() % block_length));
  const int32_t prompt_tokens = 1 + static_cast<int32_t>(random() % kMaxPromptTokens);
  Request request = MakeTinyRequest(prompt_tokens, gen_length, steps, block_length);
  request.sampling.seed = random();
  request.sampling.temperature = Pick(random, {0.0f, 0.0f, 0.7f, 1.5f});
  request.sampling.cfg_scale = Pick(random, {0.0f, 0.0f, 1.0f});
  request.sampling.remasking = remasking;
  if (dream) {
    request.sampling.top_p = Pick(random, {1.0f, 0.9f});
    request.sampling.top_k = Pick(random, {0, 20});
    request.sampling.algorithm_temperature = Pick(random, {0.0f, 0.5f});
  } else {
    request.sampling.confidence_eos_eot_inf = Pick(random, {false, true});
  }
  request.sampling.stop_at_end = Pick(random, {true, false});
  request.sparse.mode = Pick(
      random, {SparseMode::kOff, SparseMode::kSparseD, SparseMode::kSparseD, SparseMode::kAuto});
  request.sparse.select = Pick(random, {0.1, 0.3, 0.5});
  request.sparse.block_size = Pick(random, {32, 64, 128});
  request.sparse.scale = Pick(random, {SelectionScale::kHeadDim, SelectionScale::kNumHeads});
  if (random() % 4 == 0) MakeHoles(random, model.predicts_next, request);
  if (random() % 2 == 0) {
    request.sparse.refresh_every = 2 + static_cast<int32_t>(random() % 3);
    request.sparse.refresh_until = 1;
  }
  request.sparse.isolated = random() % 4 != 0;
  request.sparse.budgets = Pick(random, {HeadBudgets::kUniform, HeadBudgets::kByMass});
  if (random() % 2 == 0) {
    request.sparse.switch_overlap = Pick(random, {0.3, 0.6, 0.9});
  }
  if (random() % 2 == 0) {
    request.sparse.recall_every = 1 + static_cast<int32_t>(random() % 3);
    request.sparse.recall_floor = Pick(random, {0.3, 0.6, 0.9});
    request.sparse.below_floor = Pick(random, {FloorAction::kRefresh, FloorAction::kFull});
  }
  if (RanksByProbability(remasking) && request.sampling.algorithm_temperature == 0) {
    // The tiny model is not sure of anything.
    request.sampling.confidence_threshold = Pick(random, {0.02f, 0.03f, 0.06f, 1.0f});
  }
  if (random() % 4 == 0) {
    SamplingParams& sampling = request.sampling;
    sampling.temperature = 0;
    sampling.top_p = 1;
    sampling.top_k = 0;
    sampling.confidence_eos_eot_inf = sampling.stop_at_end = false;
    for (int32_t i = 0; i < gen_length; ++i) request.target_ids.push_back(6 + random() % 120);
  }
  return request;
}

// Some of those that run; none stands for all.
std::vector<SequenceId> RandomChoice(const std::map<SequenceId, size_t>& running,
                                     std::mt19937& random) {
  std::vector<SequenceId> chosen;
  if (random() % 2 == 0) return chosen;
  for (const auto& [id, index] : running) {
    if (random() % 2 == 0) chosen.push_back(id);
  }
  return chosen;
}

// Lets the requests join in the given order, a few before every step, and some leave half-way.
// Every other step is one of some of them only.
// Returns the outcomes of those that were left to finish.
std::map<size_t, Outcome> RunTogether(Engine& engine, const std::vector<Request>& requests,
                                      const std::vector<size_t>& order, std::mt19937& random) {
  std::map<size_t, Outcome> outcomes;
  std::map<SequenceId, size_t> running;
  size_t next = 0;
  while (next < order.size() || !running.empty()) {
    for (size_t joins = random() % 3; joins > 0 && next < order.size(); --joins) {
      const auto id = engine.Start(requests[order[next]]);
      if (!id.ok()) break;
      running.emplace(*id, order[next++]);
    }
    REQUIRE(engine.Step(RandomChoice(running, random)).ok());
    for (auto it = running.begin(); it != running.end();) {
      const bool finished = engine.Find(it->first)->finished;
      const bool leaves = random() % 60 == 0;
      if (finished && !leaves) outcomes.emplace(it->second, OutcomeOf(engine, it->first));
      if (finished || leaves) {
        engine.Remove(it->first);
        it = running.erase(it);
      } else {
        ++it;
      }
    }
  }
  return outcomes;
}

}  // namespace

TEST_CASE("Select ratio 1 gives the bits of full attention") {
  const Kind kind = GENERATE(from_range(std::begin(kKinds), std::end(kKinds)));
  auto engine = MakeTinyCpuEngine(2, kind.shape, kind.weights);
  std::mt19937 random(1);
  const int trials = kThreadSanitizer ? 1 : kAddressSanitizer ? 2 : IsFirst(kind) ? 12 : 4;
  for (int trial = 0; trial < trials; ++trial) {
    CAPTURE(kind.shape, engine->backend_info().weights, trial);
    Request request = RandomRequest(random, engine->model_info());
    request.sampling.steps = static_cast<int32_t>(request.canvas.size());
    request.sparse.mode = SparseMode::kOff;
    Outcome full = RunAlone(*engine, request);
    request.sparse.mode = SparseMode::kSparseD;
    request.sparse.select = 1.0;
    const SequenceId id = engine->Start(request).value();
    while (!engine->Find(id)->finished) REQUIRE(engine->Step().ok());
    const bool may_end_early =
        request.sampling.stop_at_end || request.sampling.confidence_threshold.has_value();
    REQUIRE((may_end_early || engine->Find(id)->counts.sparse > 0));
    REQUIRE(OutcomeOf(*engine, id) == full);
    engine->Remove(id);
  }
}

TEST_CASE("A small select ratio is another computation") {
  auto engine = MakeTinyCpuEngine(2);
  Request request = MakeTinyRequest(400, 48, 12, 48);
  request.sparse.mode = SparseMode::kOff;
  const Outcome full = RunAlone(*engine, request);
  request.sparse.mode = SparseMode::kSparseD;
  request.sparse.select = 0.1;
  const Outcome sparse = RunAlone(*engine, request);
  REQUIRE(full.density == 1);
  REQUIRE(sparse.density < 0.4);
  REQUIRE(sparse.confidences != full.confidences);
}

TEST_CASE("A request gives the same bits alone and in any batch, in any order of arrival") {
  const Kind kind = GENERATE(from_range(std::begin(kKinds), std::end(kKinds)));
  const int num_requests = IsFirst(kind) ? kMixedRequests : kOtherRequests;
  std::mt19937 random(2);
  std::vector<Request> requests;
  std::vector<Outcome> alone;
  auto lonely = MakeTinyCpuEngine(1, kind.shape, kind.weights);
  for (int i = 0; i < num_requests; ++i) {
    requests.push_back(RandomRequest(random, lonely->model_info()));
    alone.push_back(RunAlone(*lonely, requests.back()));
  }
  auto shared = MakeTinyCpuEngine(2, kind.shape, kind.weights);
  std::vector<size_t> order(requests.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  size_t compared = 0;
  for (int trial = 0; trial < kOrders; ++trial) {
    std::shuffle(order.begin(), order.end(), random);
    for (const auto& [index, outcome] : RunTogether(*shared, requests, order, random)) {
      CAPTURE(kind.shape, shared->backend_info().weights, trial, index);
      REQUIRE(outcome.canvas == alone[index].canvas);
      REQUIRE(outcome.confidences == alone[index].confidences);
      REQUIRE(outcome.commit_steps == alone[index].commit_steps);
      REQUIRE(outcome.density == alone[index].density);
      REQUIRE(outcome.log_probabilities == alone[index].log_probabilities);
      ++compared;
    }
  }
  REQUIRE(8 * compared > 3 * kOrders * requests.size());
}

TEST_CASE("Int8 weights are another computation, of less memory") {
  const std::string shape = GENERATE("tiny", "tiny-llada-moe");
  CAPTURE(shape);
  auto full = MakeTinyCpuEngine(1, shape);
  auto rounded = MakeTinyCpuEngine(1, shape, kernels::WeightType::kInt8);
  REQUIRE(rounded->backend_info().allocated_bytes < full->backend_info().allocated_bytes);
  const Request request = MakeTinyRequest(60, 32, 16, 16);
  REQUIRE(RunAlone(*rounded, request).confidences != RunAlone(*full, request).confidences);
}

TEST_CASE("Seed, temperature, guidance and remasking change the result") {
  auto engine = MakeTinyCpuEngine(2);
  Request request = MakeTinyRequest(60, 32, 16, 16);
  request.sampling.seed = 1;
  const Outcome greedy = RunAlone(*engine, request);
  request.sampling.seed = 2;
  REQUIRE(RunAlone(*engine, request) == greedy);  // greedy needs no random numbers
  request.sampling.temperature = 1;
  const Outcome warm = RunAlone(*engine, request);
  REQUIRE(warm.canvas != greedy.canvas);
  REQUIRE(RunAlone(*engine, request) == warm);
  request.sampling.seed = 3;
  REQUIRE(RunAlone(*engine, request).canvas != warm.canvas);
  request.sampling.temperature = 0;
  request.sampling.cfg_scale = 3;
  REQUIRE(RunAlone(*engine, request).confidences != greedy.confidences);
  request.sampling.cfg_scale = 0;
  request.sampling.remasking = Remasking::kRandom;
  REQUIRE(RunAlone(*engine, request).commit_steps != greedy.commit_steps);
}

TEST_CASE("Stopping at the end changes nothing up to the end") {
  auto engine = MakeTinyCpuEngine(2);
  int stopped_early = 0;
  for (uint64_t seed = 0; seed < (kThreadSanitizer ? 4 : 12); ++seed) {
    CAPTURE(seed);
    Request request = MakeTinyRequest(30, 48, 24, 8);
    request.sampling.seed = seed;
    request.sampling.temperature = 1.5f;
    const Outcome all = RunAlone(*engine, request);
    request.sampling.stop_at_end = true;
    const Outcome stopped = RunAlone(*engine, request);
    for (size_t i = 0; i < all.canvas.size(); ++i) {
      if (stopped.commit_steps[i] < 0) continue;
      REQUIRE(stopped.canvas[i] == all.canvas[i]);
      REQUIRE(stopped.confidences[i] == all.confidences[i]);
    }
    if (stopped != all) ++stopped_early;
  }
  REQUIRE(stopped_early > 0);
}

namespace {

// The tiny shape with one key/value head for two query heads, or with that head twice.
std::unique_ptr<Engine> MakeGroupedEngine(bool repeated) {
  auto backend = kernels::CreateBackend({"cpu", 1});
  REQUIRE(backend.ok());
  auto tiny = MakeSyntheticModel("tiny", kTinySeed, **backend);
  REQUIRE(tiny.ok());
  ModelInfo info = (*tiny)->info();
  info.num_kv_heads = repeated ? 2 : 1;
  const WeightSource source = [repeated](const std::string& name, int64_t rows,
                                         int64_t cols) -> absl::StatusOr<SourceMatrix> {
    const bool is_kv =
        name.find("k_proj") != std::string::npos || name.find("v_proj") != std::string::npos;
    std::mt19937 random(static_cast<uint32_t>(std::hash<std::string>()(name)));
    SourceMatrix source_matrix;
    const int64_t distinct = is_kv && repeated ? rows / 2 : rows;
    for (int64_t i = 0; i < distinct * cols; ++i) {
      // bf16 between 2^-5 and 2^-3, either sign.
      source_matrix.storage.push_back(
          static_cast<uint16_t>((random() % 2 << 15) | (0x3d00 + random() % 0x100)));
    }
    std::vector<uint16_t>& storage = source_matrix.storage;
    if (distinct < rows) {
      storage.resize(rows * cols);
      std::copy_n(storage.begin(), distinct * cols, storage.begin() + distinct * cols);
    }
    source_matrix.matrix = {storage.data(), kernels::DType::kBF16, rows, cols};
    return source_matrix;
  };
  auto model = CreateModel(info, source, **backend, {});
  REQUIRE(model.ok());
  tiny->reset();
  auto engine = Engine::Create(std::move(backend).value(), std::move(model).value(), {});
  REQUIRE(engine.ok());
  return std::move(engine).value();
}

}  // namespace

TEST_CASE("Grouped key/value heads equal the same heads repeated") {
  auto grouped = MakeGroupedEngine(false);
  auto repeated = MakeGroupedEngine(true);
  Request request = MakeTinyRequest(200, 32, 16, 32);
  request.sparse.mode = SparseMode::kSparseD;
  request.sparse.select = 0.3;
  REQUIRE(RunAlone(*grouped, request) == RunAlone(*repeated, request));
}

}  // namespace sparsed::engine
