// Sparse attention that selects more than once: what it changes, what it costs, what it keeps.
#include <algorithm>
#include <vector>

#include "tests/unit/engine/tiny_engine.h"

namespace sparsed::engine {
namespace {

Request SparseRequest() {
  Request request = MakeTinyRequest(250, 48, 16, 48);  // selects at step 4
  request.sparse.mode = SparseMode::kSparseD;
  request.sparse.block_size = 32;
  request.sparse.select = 0.2;
  return request;
}

std::vector<uint64_t> PatternOf(const Sequence& sequence) {
  const uint64_t* bits = sequence.masks->Layer(0, 0).bits;  // a CPU's memory is the host's
  return {bits, bits + sequence.masks->bytes() / 8};
}

}  // namespace

TEST_CASE("A refresh is a select step that replaces the pattern where it lies") {
  auto engine = MakeTinyCpuEngine(2);
  const Outcome plain = RunAlone(*engine, SparseRequest());
  Request request = SparseRequest();
  request.sparse.refresh_steps = {7, 11};
  REQUIRE(engine->Estimate(request).mask_cache_bytes ==
          engine->Estimate(SparseRequest()).mask_cache_bytes);
  const SequenceId id = engine->Start(request).value();
  const uint64_t allocated = engine->backend_info().allocated_bytes;
  std::vector<std::vector<uint64_t>> patterns;  // after each step from the first selection on
  while (!engine->Find(id)->finished) {
    const auto steps = engine->Step();
    REQUIRE(steps.ok());
    const int32_t step = steps->front().step;
    CAPTURE(step);
    const bool selects = step == 4 || step == 7 || step == 11;
    REQUIRE((steps->front().kind == StepKind::kSelect) == selects);
    REQUIRE(engine->backend_info().allocated_bytes == allocated);
    if (step < 4) continue;
    patterns.push_back(PatternOf(*engine->Find(id)));
    if (step > 4) REQUIRE((patterns.back() != patterns[patterns.size() - 2]) == selects);
  }
  const Sequence& sequence = *engine->Find(id);
  REQUIRE(sequence.counts.full == 4);
  REQUIRE(sequence.counts.select == 3);
  REQUIRE(sequence.counts.sparse == 9);
  const Outcome refreshed = OutcomeOf(*engine, id);
  REQUIRE(refreshed.confidences != plain.confidences);
  engine->Remove(id);
  REQUIRE(RunAlone(*engine, request) == refreshed);
}

}  // namespace sparsed::engine
