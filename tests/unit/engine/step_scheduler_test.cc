#include "engine/step_scheduler.h"

#include <cmath>
#include <vector>

#include "tests/testing/catch.h"

namespace sparsed::engine {
namespace {

ModelInfo ManyHeadsInfo() {
  ModelInfo model;
  model.num_heads = 32;
  model.head_dim = 128;
  return model;
}

Request RequestOf(int32_t prompt_tokens, int32_t gen_length, int32_t steps) {
  Request request = MakeRequest(std::vector<int32_t>(prompt_tokens, 7), gen_length, 5);
  request.sampling.steps = steps;
  request.sampling.block_length = gen_length;
  request.sparse.mode = SparseMode::kSparseD;
  return request;
}

}  // namespace

TEST_CASE("The published schedule: int(T skip) + 2 steps are full, the last of them selects") {
  struct Row {
    int32_t steps;
    int32_t full_steps;  // the selecting one included
  };
  for (const Row row : {Row{8, 3}, Row{32, 8}, Row{128, 27}, Row{1024, 206}}) {
    const SparsePlan plan = PlanSparse(RequestOf(100, 1024, row.steps), ManyHeadsInfo());
    REQUIRE(plan.used);
    REQUIRE(plan.select_step == row.full_steps - 1);
    for (int32_t step = 0; step < row.steps; ++step) {
      const StepKind kind = KindOfStep(plan, step);
      CAPTURE(row.steps, step);
      if (step < row.full_steps - 1) REQUIRE(kind == StepKind::kFull);
      if (step == row.full_steps - 1) REQUIRE(kind == StepKind::kSelect);
      if (step >= row.full_steps) REQUIRE(kind == StepKind::kSparse);
    }
  }
}

TEST_CASE("Refreshes are select steps, listed or at even distances in the first share") {
  const auto selects = [](const Request& request) {
    const SparsePlan plan = PlanSparse(request, ManyHeadsInfo());
    std::vector<int32_t> steps;
    int32_t full = 0;
    for (int32_t step = 0; step < request.sampling.steps; ++step) {
      CAPTURE(step);
      REQUIRE(CountFullSteps(plan, step) == full);
      if (KindOfStep(plan, step) == StepKind::kSelect) steps.push_back(step);
      if (KindOfStep(plan, step) != StepKind::kSparse) ++full;
    }
    REQUIRE(CountFullSteps(plan, request.sampling.steps) == full);
    return steps;
  };
  using Steps = std::vector<int32_t>;
  Request request = RequestOf(100, 64, 64);  // selects at step 13
  REQUIRE(selects(request) == Steps{13});
  request.sparse.refresh_steps = {60, 14, 30, 14, 63};
  REQUIRE(selects(request) == Steps{13, 14, 30, 60, 63});

  request.sparse.refresh_steps.clear();
  request.sparse.refresh_every = 2;  // the first 0.3 of 64 steps are those below 19
  REQUIRE(selects(request) == Steps{13, 15, 17});
  request.sparse.refresh_until = 0.5;
  REQUIRE(selects(request) == Steps{13, 15, 17, 19, 21, 23, 25, 27, 29, 31});
  request.sparse.refresh_every = 20;
  request.sparse.refresh_until = 1;
  REQUIRE(selects(request) == Steps{13, 33, 53});
  request.sparse.refresh_until = 0.1;  // over before the first selection
  REQUIRE(selects(request) == Steps{13});
  request.sparse.refresh_every = 1000;
  request.sparse.refresh_until = 1;
  REQUIRE(selects(request) == Steps{13});
  request.sparse.skip = 0;  // PulseCol's schedule: refreshes from the start on
  request.sparse.refresh_every = 5;
  request.sparse.refresh_until.reset();
  REQUIRE(selects(request) == Steps{1, 6, 11, 16});
  request.sparse.mode = SparseMode::kOff;
  REQUIRE(selects(request).empty());
}

TEST_CASE("Where a switch may come every full step selects, and two are certain") {
  Request request = RequestOf(100, 64, 64);  // selects at step 13
  request.sparse.switch_overlap = 0.8;
  request.sparse.refresh_steps = {20};
  const SparsePlan plan = PlanSparse(request, ManyHeadsInfo());
  for (int32_t step = 0; step < 64; ++step) {
    const bool selects = step <= 13 || step == 20;
    REQUIRE(KindOfStep(plan, step) == (selects ? StepKind::kSelect : StepKind::kSparse));
  }
  REQUIRE(CountFullSteps(plan, 64) == 15);
  REQUIRE(LeastFullSteps(plan, 1) == 1);
  REQUIRE(LeastFullSteps(plan, 2) == 2);
  REQUIRE(LeastFullSteps(plan, 8) == 2);
  REQUIRE(LeastFullSteps(plan, 20) == 2);
  REQUIRE(LeastFullSteps(plan, 64) == 3);
  request.sparse.switch_overlap.reset();
  REQUIRE(LeastFullSteps(PlanSparse(request, ManyHeadsInfo()), 64) == 15);
  request.sparse.switch_overlap = 0.8;
  request.sparse.mode = SparseMode::kOff;
  REQUIRE(LeastFullSteps(PlanSparse(request, ManyHeadsInfo()), 64) == 64);
}

TEST_CASE("With a confidence threshold one full step and a selecting one are certain") {
  Request request = RequestOf(100, 64, 64);  // selects at step 13
  request.sampling.confidence_threshold = 0.9f;
  const auto plan = [&request] { return PlanSparse(request, ManyHeadsInfo()); };
  REQUIRE(KindOfStep(plan(), 12) == StepKind::kFull);
  REQUIRE(KindOfStep(plan(), 13) == StepKind::kSelect);
  REQUIRE(CountFullSteps(plan(), 64) == 14);
  REQUIRE(LeastFullSteps(plan(), 1) == 1);
  REQUIRE(LeastFullSteps(plan(), 64) == 2);
  // The first step selects already, and may commit enough.
  request.sparse.switch_overlap = 0.8;
  REQUIRE(LeastFullSteps(plan(), 64) == 1);
}

TEST_CASE("A request without a sparse step after the selection is full throughout") {
  Request request = RequestOf(100, 64, 2);  // select step 1 is the last
  REQUIRE_FALSE(PlanSparse(request, ManyHeadsInfo()).used);
  REQUIRE(KindOfStep(PlanSparse(request, ManyHeadsInfo()), 1) == StepKind::kFull);
  request.sampling.steps = 1;
  REQUIRE_FALSE(PlanSparse(request, ManyHeadsInfo()).used);
  request.sampling.steps = 3;
  REQUIRE(PlanSparse(request, ManyHeadsInfo()).used);
  request.sparse.skip = 1.0;
  REQUIRE_FALSE(PlanSparse(request, ManyHeadsInfo()).used);
  request.sparse.skip = 0.0;  // step 0 full, step 1 selects, step 2 is sparse
  REQUIRE(PlanSparse(request, ManyHeadsInfo()).select_step == 1);
  REQUIRE(PlanSparse(request, ManyHeadsInfo()).used);
}

TEST_CASE("AUTO is full below 1,024 tokens, OFF always") {
  Request request = RequestOf(991, 32, 32);
  request.sparse.mode = SparseMode::kAuto;
  REQUIRE_FALSE(PlanSparse(request, ManyHeadsInfo()).used);
  request = RequestOf(992, 32, 32);
  request.sparse.mode = SparseMode::kAuto;
  REQUIRE(PlanSparse(request, ManyHeadsInfo()).used);
  request.sparse.mode = SparseMode::kOff;
  REQUIRE_FALSE(PlanSparse(request, ManyHeadsInfo()).used);
}

TEST_CASE("Block size and select ratio default by length, and can be set") {
  struct Row {
    int32_t tokens;
    int32_t block_size;
    double select;
  };
  for (const Row row : {Row{128, 32, 0.5}, Row{1024, 32, 0.5}, Row{1025, 64, 0.3},
                        Row{4096, 64, 0.3}, Row{4097, 128, 0.3}, Row{65536, 128, 0.3}}) {
    CAPTURE(row.tokens);
    Request request = RequestOf(row.tokens - 64, 64, 32);
    SparsePlan plan = PlanSparse(request, ManyHeadsInfo());
    REQUIRE(plan.block_size == row.block_size);
    REQUIRE(plan.select == row.select);
    request.sparse.block_size = 128;
    request.sparse.select = 0.25;
    plan = PlanSparse(request, ManyHeadsInfo());
    REQUIRE(plan.block_size == 128);
    REQUIRE(plan.select == 0.25);
  }
}

TEST_CASE("Border block and quotas") {
  struct Row {
    int32_t prompt_tokens, gen_length, block_size;
    double select;
    int32_t num_blocks, first_canvas_block, keep_prompt, keep_canvas;
  };
  const Row rows[] = {
      {4000, 128, 128, 0.3, 33, 32, 10, 1},  // the straddling block counts as prompt
      {4100, 128, 128, 0.3, 34, 33, 11, 1},  // 4 canvas tokens are left for the canvas side
      {4096, 128, 128, 0.3, 33, 32, 10, 1},
      {224, 32, 32, 0.3, 8, 7, 3, 1},
      {24, 32, 32, 0.3, 2, 1, 1, 1},
      {100, 60, 32, 0.3, 5, 4, 2, 1},   // ceil(100 / 32) = 4 is the last block
      {100, 20, 128, 0.3, 1, 0, 1, 1},  // one block: the border is held below n
      {320, 320, 32, 0.1, 20, 10, 3, 2},
      {320, 320, 32, 0.3, 20, 10, 7, 4},  // 20 * 0.3 is 6, 10 * 0.3 is 3
      {320, 320, 32, 1.0, 20, 10, 20, 10},
  };
  for (const Row& row : rows) {
    CAPTURE(row.prompt_tokens, row.gen_length, row.select);
    Request request = RequestOf(row.prompt_tokens, row.gen_length, 8);
    request.sparse.block_size = row.block_size;
    request.sparse.select = row.select;
    const SparsePlan plan = PlanSparse(request, ManyHeadsInfo());
    REQUIRE(plan.num_blocks == row.num_blocks);
    REQUIRE(plan.first_canvas_block == row.first_canvas_block);
    REQUIRE(plan.keep_prompt == row.keep_prompt);
    REQUIRE(plan.keep_canvas == row.keep_canvas);
  }
}

TEST_CASE("With holes in a template the prompt ends at the first hole") {
  Request request;
  request.ids.assign(320, 7);
  for (const int32_t position : {65, 66, 300, 301}) {
    request.ids[position] = 5;
    request.canvas.push_back(position);
  }
  request.sampling.steps = 4;
  request.sparse.block_size = 32;
  REQUIRE(PlanSparse(request, ManyHeadsInfo()).first_canvas_block == 3);
}

TEST_CASE("Where the sides are not apart there is one choice among all columns") {
  Request request = RequestOf(1000, 1000, 128);
  request.sparse.block_size = 64;
  request.sparse.select = 0.3;
  const kernels::BlockSelection apart = SelectionOf(PlanSparse(request, ManyHeadsInfo()));
  REQUIRE(apart.first_canvas_block == 16);
  REQUIRE(apart.keep_canvas == 5);
  request.sparse.isolated = false;
  const SparsePlan plan = PlanSparse(request, ManyHeadsInfo());
  REQUIRE(plan.first_canvas_block == 16);  // where the canvas begins, still
  const kernels::BlockSelection together = SelectionOf(plan);
  REQUIRE(together.first_canvas_block == 32);
  REQUIRE(together.keep_prompt == apart.keep_prompt);
  REQUIRE(together.keep_canvas == 0);
}

TEST_CASE("The selection's scale is the attention's own or the published quirk") {
  Request request = RequestOf(100, 64, 32);
  REQUIRE(PlanSparse(request, ManyHeadsInfo()).scale == static_cast<float>(1 / std::sqrt(128.0)));
  request.sparse.scale = SelectionScale::kNumHeads;
  REQUIRE(PlanSparse(request, ManyHeadsInfo()).scale == static_cast<float>(1 / std::sqrt(32.0)));
}

}  // namespace sparsed::engine
