// Small models of the families beside LLaDA on a GPU against the processor's float32. Without a
// device the cases have nothing to run on and say so.
//
// The tolerance is that of golden_cuda_test.cc, of the mean square instead of the largest error:
// rounding sends some rows whose shares are nearly equal to another expert, on the device and in a
// plain implementation alike, though not the same rows.
#include <algorithm>
#include <cmath>
#include <iostream>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/golden/recording_backend.h"
#include "tests/unit/engine/tiny_engine.h"

namespace sparsed::testing {
namespace {

constexpr const char* kShapes[] = {"tiny-dream", "tiny-llada-moe"};
constexpr int kFamilyRepeats = 20;

std::unique_ptr<engine::Engine> EngineOn(std::unique_ptr<kernels::Backend> backend,
                                         const std::string& shape, Recording* recording) {
  if (recording != nullptr) {
    backend = std::make_unique<RecordingBackend>(std::move(backend), recording);
  }
  return engine::MakeTinyEngine(std::move(backend), 8192, shape);
}

// Null where there is no device.
std::unique_ptr<engine::Engine> EngineOnDevice(const std::string& shape, Recording* recording) {
  auto backend = kernels::CreateBackend({"cuda", 0});
  if (backend.ok()) return EngineOn(std::move(*backend), shape, recording);
  WARN(std::string(backend.status().message()));
  return nullptr;
}

std::vector<engine::Request> Requests(engine::SparseMode mode) {
  std::vector<engine::Request> requests;
  for (const int32_t prompt : {1, 60, 130, 301}) {
    engine::Request& request = requests.emplace_back(engine::MakeTinyRequest(prompt, 64, 16, 64));
    request.sparse.mode = mode;
    request.sparse.block_size = std::vector<int32_t>{32, 64, 128}[requests.size() % 3];
    request.sampling.seed = requests.size();
  }
  return requests;
}

// Of the first step of all requests.
std::vector<std::vector<float>> FirstLogits(engine::Engine& engine, Recording& recording) {
  recording.keep_logits = true;
  for (const engine::Request& request : Requests(engine::SparseMode::kOff)) {
    REQUIRE(engine.Start(request).ok());
  }
  REQUIRE(engine.Step().ok());
  return recording.logits;
}

std::vector<std::vector<float>> LogitsOnProcessor(const std::string& shape, bool rounded) {
  auto cpu = kernels::CreateBackend({"cpu", 0});
  REQUIRE(cpu.ok());
  Recording recording;
  auto engine = EngineOn(*std::move(cpu), shape, &recording);
  if (rounded) recording.round_all_but_cols = engine->model_info().vocab_size;
  return FirstLogits(*engine, recording);
}

double RootMeanSquare(const std::vector<std::vector<float>>& a,
                      const std::vector<std::vector<float>>& b) {
  REQUIRE(a.size() == b.size());
  double sum = 0;
  size_t count = 0;
  for (size_t row = 0; row < a.size(); ++row) {
    REQUIRE(a[row].size() == b[row].size());
    for (size_t i = 0; i < a[row].size(); ++i, ++count) {
      REQUIRE(std::isfinite(a[row][i]));
      sum += std::pow(double{a[row][i]} - b[row][i], 2);
    }
  }
  REQUIRE(count > 0);
  return std::sqrt(sum / static_cast<double>(count));
}

}  // namespace

TEST_CASE("On the device every family is as near the processor's as bf16 allows") {
  const std::string shape = GENERATE(from_range(std::begin(kShapes), std::end(kShapes)));
  CAPTURE(shape);
  Recording recording;
  auto engine = EngineOnDevice(shape, &recording);
  if (engine == nullptr) return;
  const auto exact = LogitsOnProcessor(shape, /*rounded=*/false);
  const double plain = RootMeanSquare(LogitsOnProcessor(shape, /*rounded=*/true), exact);
  const double error = RootMeanSquare(FirstLogits(*engine, recording), exact);
  std::cout << shape << ", first step: root mean square error of a logit " << error
            << ", of a plain implementation in bf16 " << plain << "\n";
  REQUIRE(error <= 2 * plain + 1e-5);
}

TEST_CASE("On the device every family gives the same bits alone and in a batch") {
  const std::string shape = GENERATE(from_range(std::begin(kShapes), std::end(kShapes)));
  auto engine = EngineOnDevice(shape, nullptr);
  if (engine == nullptr) return;
  for (const engine::SparseMode mode : {engine::SparseMode::kOff, engine::SparseMode::kSparseD}) {
    std::vector<engine::Request> requests = Requests(mode);
    std::vector<engine::Outcome> alone;
    for (const engine::Request& request : requests) {
      alone.push_back(engine::RunAlone(*engine, request));
    }
    for (int repeat = 0; repeat < kFamilyRepeats; ++repeat) {
      CAPTURE(shape, repeat);
      REQUIRE(engine::RunBatch(*engine, requests) == alone);
      requests = std::vector<engine::Request>(requests.rbegin(), requests.rend());
      std::reverse(alone.begin(), alone.end());
    }
  }
}

TEST_CASE("On the device select ratio 1 gives every family the bits of full attention") {
  const std::string shape = GENERATE(from_range(std::begin(kShapes), std::end(kShapes)));
  auto engine = EngineOnDevice(shape, nullptr);
  if (engine == nullptr) return;
  for (engine::Request request : Requests(engine::SparseMode::kSparseD)) {
    CAPTURE(shape, request.ids.size());
    request.sparse.select = 1.0;
    const engine::Outcome sparse = engine::RunAlone(*engine, request);
    request.sparse.mode = engine::SparseMode::kOff;
    const engine::Outcome full = engine::RunAlone(*engine, request);
    REQUIRE(sparse.canvas == full.canvas);
    REQUIRE(sparse.confidences == full.confidences);
  }
}

}  // namespace sparsed::testing
