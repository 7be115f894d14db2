// The last layer's tiles on a backend whose split rows are not those of the whole: steps of every
// kind must take theirs from split tiles, or their bits would tell them apart.
#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "tests/testing/forwarding_backend.h"
#include "tests/unit/engine/tiny_engine.h"

namespace sparsed::engine {
namespace {

// What the processor computes; the rows of a split tile, halved.
class HalvingBackend : public testing::ForwardingBackend {
 public:
  explicit HalvingBackend(std::unique_ptr<kernels::Backend> inner)
      : ForwardingBackend(std::move(inner)) {}

  kernels::BackendInfo Info() const override {
    kernels::BackendInfo info = ForwardingBackend::Info();
    info.splits_keys = true;
    return info;
  }

  absl::Status Attention(const kernels::AttentionParams& params) override {
    absl::Status status = ForwardingBackend::Attention(params);
    const kernels::TensorView& out = params.out;
    for (const kernels::AttentionSequence& sequence : params.sequences) {
      if (!sequence.queries.has_value() || !sequence.queries->split) continue;
      const kernels::QueryRange& queries = *sequence.queries;
      for (int64_t row = queries.first_row; row < queries.first_row + queries.num_tokens; ++row) {
        float* values = static_cast<float*>(out.data) + row * out.stride;
        std::for_each(values, values + out.cols, [](float& value) { value *= 0.5f; });
      }
    }
    return status;
  }
};

std::unique_ptr<Engine> HalvingEngine() {
  auto cpu = kernels::CreateBackend({"cpu", 2});
  REQUIRE(cpu.ok());
  return MakeTinyEngine(std::make_unique<HalvingBackend>(*std::move(cpu)));
}

// Of 300 and 150 tokens, the second guided; its canvas is scattered over two tiles.
std::vector<Request> TwoRequests() {
  std::vector<Request> requests = {MakeTinyRequest(268, 32, 16, 16),
                                   MakeTinyRequest(134, 16, 8, 16)};
  requests[1].sampling.cfg_scale = 1;
  for (int32_t i = 0; i < 150; ++i) requests[1].ids[i] = 6 + (i * 37 + 11) % 120;
  for (int32_t i = 0; i < 16; ++i) {
    requests[1].canvas[i] = 9 * i + 5;
    requests[1].ids[9 * i + 5] = 5;
  }
  return requests;
}

std::vector<Request> With(SparseMode mode, double select) {
  std::vector<Request> requests = TwoRequests();
  for (Request& request : requests) {
    request.sparse.mode = mode;
    request.sparse.select = select;
    request.sparse.block_size = 32;
    if (mode != SparseMode::kSparseD) continue;
    request.sparse.refresh_every = 3;  // several steps that select
    request.sparse.refresh_until = 1;
  }
  return requests;
}

}  // namespace

TEST_CASE("Full, select and sparse steps take the last layer's rows from split tiles") {
  auto engine = HalvingEngine();
  const std::vector<Outcome> full = RunBatch(*engine, With(SparseMode::kOff, 1));
  for (const Request& request : With(SparseMode::kSparseD, 1)) {
    const SequenceId id = engine->Start(request).value();
    while (!engine->Find(id)->finished) REQUIRE(engine->Step().ok());
    REQUIRE(engine->Find(id)->counts.select > 1);
    REQUIRE(engine->Find(id)->counts.sparse > 1);
    engine->Remove(id);
  }
  REQUIRE(RunBatch(*engine, With(SparseMode::kSparseD, 1)) == full);
  // The halved rows are seen.
  REQUIRE(RunBatch(*MakeTinyCpuEngine(2), With(SparseMode::kOff, 1)) != full);
}

TEST_CASE("Where tiles are split, a request beside one that selects keeps its bits") {
  auto engine = HalvingEngine();
  const std::vector<Request> sparse = With(SparseMode::kSparseD, 0.2);
  const std::vector<Request> full = With(SparseMode::kOff, 1);
  const std::vector<Request> mixed = {sparse[0], full[1], full[0], sparse[1]};
  std::vector<Outcome> alone;
  for (const Request& request : mixed) alone.push_back(RunAlone(*engine, request));
  REQUIRE(RunBatch(*engine, mixed) == alone);
}

}  // namespace sparsed::engine
