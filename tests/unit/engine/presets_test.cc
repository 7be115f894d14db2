#include "engine/presets.h"

#include "engine/step_scheduler.h"
#include "tests/testing/catch.h"

namespace sparsed::engine {
namespace {

Request PresetRequest(int32_t num_tokens, SparsePreset preset) {
  Request request = MakeRequest(std::vector<int32_t>(num_tokens - 128, 7), 128, 5);
  request.sampling.steps = 128;
  request.sampling.block_length = 32;
  request.sparse = PresetParams(preset);
  return request;
}

}  // namespace

TEST_CASE("The presets are those that docs/quality.md measures") {
  ModelInfo model;
  model.num_heads = 32;
  model.head_dim = 128;
  struct Row {
    SparsePreset preset;
    double select_at_1k;
    double select_at_4k;
  };
  for (const Row row :
       {Row{SparsePreset::kBalanced, 0.5, 0.3}, Row{SparsePreset::kFast, 0.2, 0.2}}) {
    CAPTURE(row.select_at_4k);
    REQUIRE(PlanSparse(PresetRequest(1024, row.preset), model).select == row.select_at_1k);
    REQUIRE_FALSE(PlanSparse(PresetRequest(1023, row.preset), model).used);
    const SparsePlan plan = PlanSparse(PresetRequest(4096, row.preset), model);
    REQUIRE(plan.used);
    REQUIRE(plan.select == row.select_at_4k);
    // Full attention at step 0, a selection at 1, 9, 17, ... 121.
    REQUIRE(CountFullSteps(plan, 128) == 17);
    REQUIRE(KindOfStep(plan, 0) == StepKind::kFull);
    for (int32_t step = 1; step < 128; ++step) {
      REQUIRE((KindOfStep(plan, step) == StepKind::kSelect) == (step % 8 == 1));
    }
  }
  REQUIRE_FALSE(PlanSparse(PresetRequest(4096, SparsePreset::kExact), model).used);
}

}  // namespace sparsed::engine
