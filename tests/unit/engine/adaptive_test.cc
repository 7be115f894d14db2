// Sparse attention that selects more than once: what it changes, what it costs, what it keeps.
#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "engine/inspection.h"
#include "tests/unit/engine/tiny_engine.h"

namespace sparsed::engine {
namespace {

Request AdaptiveRequest() {
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
  const Outcome plain = RunAlone(*engine, AdaptiveRequest());
  Request request = AdaptiveRequest();
  request.sparse.refresh_steps = {7, 11};
  REQUIRE(engine->Estimate(request).mask_cache_bytes ==
          engine->Estimate(AdaptiveRequest()).mask_cache_bytes);
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

TEST_CASE("Without isolation every row keeps its quota of all columns") {
  auto engine = MakeTinyCpuEngine(2);
  Request request = AdaptiveRequest();
  const Outcome isolated = RunAlone(*engine, request);
  request.sparse.isolated = false;
  const Outcome together = RunAlone(*engine, request);
  REQUIRE(together.density == 0.3);  // int(10 * 0.2) + 1 of 10 blocks
  REQUIRE(together.confidences != isolated.confidences);
  request.sparse.select = 1.0;
  const Outcome whole = RunAlone(*engine, request);
  request.sparse.mode = SparseMode::kOff;
  REQUIRE(whole == RunAlone(*engine, request));
}

TEST_CASE("A request switches when two selections in a row overlap enough") {
  auto engine = MakeTinyCpuEngine(2);
  Request request = AdaptiveRequest();
  request.sparse.skip = 0.5;  // at the latest step 9 selects last
  request.sparse.select = 0.3;
  // What the steps would select, and how alike it is.
  std::vector<double> overlaps;
  {
    request.sparse.switch_overlap = 1.0;
    const SequenceId id = engine->Start(request).value();
    std::vector<uint64_t> last;
    while (engine->Find(id)->next_step <= 9) {
      REQUIRE(engine->Step().ok());
      std::vector<uint64_t> pattern = PatternOf(*engine->Find(id));
      if (!last.empty()) overlaps.push_back(LeastJaccardIndex(last, pattern, 2));
      last = std::move(pattern);
    }
    REQUIRE(engine->Find(id)->counts.select == 10);
    engine->Remove(id);
  }
  CAPTURE(overlaps);
  const double highest = *std::max_element(overlaps.begin(), overlaps.end() - 1);
  REQUIRE(highest < 1);
  REQUIRE(highest > overlaps.front());
  const auto at = std::find(overlaps.begin(), overlaps.end(), highest) - overlaps.begin();

  for (const double threshold : {overlaps.front(), highest, 1.0}) {
    CAPTURE(threshold);
    request.sparse.switch_overlap = threshold;
    // overlaps[i] is known after step i + 1.
    const int32_t first = threshold == 1.0       ? 10
                          : threshold == highest ? static_cast<int32_t>(at) + 2
                                                 : 2;
    const SequenceId id = engine->Start(request).value();
    while (!engine->Find(id)->finished) {
      const auto steps = engine->Step();
      REQUIRE(steps.ok());
      const int32_t step = steps->front().step;
      CAPTURE(step);
      REQUIRE(steps->front().kind == (step < first ? StepKind::kSelect : StepKind::kSparse));
    }
    REQUIRE(engine->Find(id)->first_sparse_step == first);
    REQUIRE(engine->Find(id)->last_pattern.capacity() == 0);
    engine->Remove(id);
  }
}

TEST_CASE("A floor holds before the last possible switch, too") {
  auto engine = MakeTinyCpuEngine(2);
  Request request = AdaptiveRequest();
  request.sparse.skip = 0.8;
  request.sparse.switch_overlap = 0.001;  // two patterns overlap by that
  request.sparse.recall_every = 2;
  request.sparse.recall_floor = 1.0;
  const SequenceId id = engine->Start(request).value();
  std::vector<StepKind> kinds;
  while (!engine->Find(id)->finished) kinds.push_back(engine->Step().value().front().kind);
  using enum StepKind;
  for (size_t i = 0; i < kinds.size(); ++i) {
    CAPTURE(i);
    // Selects at 0 and 1; estimates at every second sparse step, of which each is below.
    const bool selects = i < 2 || (i - 1) % 3 == 0;
    REQUIRE(kinds[i] == (selects ? kSelect : kSparse));
  }
}

}  // namespace sparsed::engine
