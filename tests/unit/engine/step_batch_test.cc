#include "engine/step_batch.h"

#include <map>
#include <utility>
#include <vector>

#include "engine/workspace.h"
#include "tests/testing/catch.h"
#include "tests/testing/fake_backend.h"

namespace sparsed::engine {
namespace {

ModelInfo SmallHeadsInfo() {
  ModelInfo model;
  model.mask_token_id = 5;
  model.head_dim = 32;
  model.num_heads = 2;
  return model;
}

Sequence MakeSequence(const std::vector<int32_t>& prompt, int32_t gen_length, float cfg_scale) {
  Request request = MakeRequest(prompt, gen_length, 5);
  request.sampling.steps = gen_length;
  request.sampling.block_length = gen_length / 2;
  request.sampling.cfg_scale = cfg_scale;
  request.sparse.mode = SparseMode::kOff;
  return Sequence::FromRequest(request, SmallHeadsInfo());
}

}  // namespace

TEST_CASE("Sequences are packed one after the other, each with its own positions") {
  std::map<SequenceId, Sequence> sequences;
  sequences.emplace(1, MakeSequence({10, 11, 12}, 4, 0));
  sequences.emplace(2, MakeSequence({20}, 2, 0));
  sequences.at(1).ids[4] = 77;  // canvas index 1 is committed
  StepBatch batch;
  BuildStepBatch(sequences, SmallHeadsInfo(), 1, batch);
  REQUIRE(batch.ids == std::vector<int32_t>{10, 11, 12, 5, 77, 5, 5, 20, 5, 5});
  REQUIRE(batch.positions == std::vector<int32_t>{0, 1, 2, 3, 4, 5, 6, 0, 1, 2});
  // Candidates: the masked ones of the first block, half of each canvas.
  REQUIRE(batch.head_rows == std::vector<int32_t>{3, 8});
  REQUIRE(batch.canvas_indices == std::vector<int32_t>{0, 0});
  REQUIRE(batch.groups.size() == 2);
  REQUIRE(batch.groups[1].first == 1);
  REQUIRE(batch.groups[1].count == 1);
  REQUIRE(batch.groups[1].keep == 1);
  REQUIRE(batch.num_chosen == 2);
}

TEST_CASE("Where a row predicts the next position, the row before a candidate is asked") {
  std::map<SequenceId, Sequence> sequences;
  sequences.emplace(1, MakeSequence({10, 11, 12}, 4, 1));
  sequences.emplace(2, MakeSequence({20}, 2, 0));
  ModelInfo model = SmallHeadsInfo();
  model.predicts_next = true;
  StepBatch batch;
  BuildStepBatch(sequences, model, 1, batch);
  REQUIRE(batch.head_rows == std::vector<int32_t>{2, 9, 3, 10, 14});
  REQUIRE(batch.canvas_indices == std::vector<int32_t>{0, 1, 0});
  REQUIRE(batch.samples[0].position == 3);
  REQUIRE(batch.samples[2].position == 1);
}

TEST_CASE("A guided sequence has a second pass that sees its canvas only") {
  std::map<SequenceId, Sequence> sequences;
  sequences.emplace(1, MakeSequence({10, 11, 12}, 4, 1.5f));
  sequences.at(1).ids[3] = 77;
  StepBatch batch;
  BuildStepBatch(sequences, SmallHeadsInfo(), 1, batch);
  REQUIRE(batch.ids == std::vector<int32_t>{10, 11, 12, 77, 5, 5, 5, 5, 5, 5, 77, 5, 5, 5});
  REQUIRE(batch.passes.size() == 2);
  REQUIRE(batch.passes[1].first_row == 7);
  REQUIRE(batch.head_rows == std::vector<int32_t>{4, 11});
  REQUIRE(batch.samples.size() == 1);
  REQUIRE(batch.samples[0].row == 0);
  REQUIRE(batch.samples[0].uncond_row == 1);
  REQUIRE(batch.samples[0].cfg_scale == 1.5f);
  REQUIRE(batch.samples[0].position == 4);
}

TEST_CASE("Each pass selects and reads its own pattern; a full step has none") {
  testing::FakeBackend backend;
  std::map<SequenceId, Sequence> sequences;
  Request request = MakeRequest(std::vector<int32_t>(60, 10), 40, 5);
  request.sampling.steps = 40;
  request.sampling.block_length = 40;
  request.sampling.cfg_scale = 1;
  request.sparse.mode = SparseMode::kSparseD;
  request.sparse.select = 0.3;
  sequences.emplace(1, Sequence::FromRequest(request, SmallHeadsInfo()));
  Sequence& sequence = sequences.at(1);
  auto masks = MaskCache::Create(backend, {2, 3, 2, 4, 32});
  REQUIRE(masks.ok());
  sequence.masks.emplace(std::move(masks).value());

  StepBatch batch;
  for (int32_t step = 0; step < 40; ++step) {
    CAPTURE(step);
    sequence.next_step = step;
    BuildStepBatch(sequences, SmallHeadsInfo(), 1, batch);
    for (int32_t pass = 0; pass < 2; ++pass) {
      const PassPlan& plan = batch.passes[pass];
      if (step < 9) {
        REQUIRE(plan.mode == kernels::AttentionMode::kFull);
        REQUIRE(plan.masks.empty());
        continue;
      }
      REQUIRE(plan.masks.size() == 3);
      REQUIRE(plan.masks[0].bits == sequence.masks->Layer(pass, 0).bits);
      if (step > 9) {
        REQUIRE(plan.mode == kernels::AttentionMode::kSparse);
        continue;
      }
      REQUIRE(plan.mode == kernels::AttentionMode::kFullSelect);
      REQUIRE(plan.selection.first_canvas_block == 2);
      REQUIRE(plan.selection.keep_prompt == 2);
      REQUIRE(plan.selection.keep_canvas == 1);
      REQUIRE(plan.selection.scale == sequence.plan.scale);
    }
  }
}

TEST_CASE("Passes begin at multiples of the row alignment") {
  std::map<SequenceId, Sequence> sequences;
  sequences.emplace(1, MakeSequence({10, 11, 12}, 4, 1));
  sequences.emplace(2, MakeSequence({20}, 2, 0));
  StepBatch batch;
  BuildStepBatch(sequences, SmallHeadsInfo(), 16, batch);
  REQUIRE(batch.passes[0].first_row == 0);
  REQUIRE(batch.passes[1].first_row == 16);
  REQUIRE(batch.passes[2].first_row == 32);
  REQUIRE(batch.ids.size() == 35);
  REQUIRE(batch.positions.size() == 35);
  REQUIRE(batch.ids[32] == 20);
  REQUIRE(batch.positions[32] == 0);
  REQUIRE(batch.head_rows.back() == 33);
}

TEST_CASE("Logits come in bounded chunks that never part the two rows of a position") {
  std::map<SequenceId, Sequence> sequences;
  sequences.emplace(1, MakeSequence({10}, 510, 0));   // 255 candidates
  sequences.emplace(2, MakeSequence({10}, 600, 1));   // 300 candidates, 600 rows
  sequences.emplace(3, MakeSequence({10}, 1000, 0));  // 500 candidates
  StepBatch batch;
  BuildStepBatch(sequences, SmallHeadsInfo(), 1, batch);
  REQUIRE(batch.samples.size() == 255 + 300 + 500);
  REQUIRE(batch.head_rows.size() == 255 + 600 + 500);
  int32_t next_row = 0;
  int32_t next_sample = 0;
  for (const LogitChunk& chunk : batch.chunks) {
    REQUIRE(chunk.num_head_rows <= Workspace::kLogitRows);
    REQUIRE(chunk.first_head_row == next_row);
    REQUIRE(chunk.first_sample == next_sample);
    int32_t row = 0;
    for (int32_t i = 0; i < chunk.num_samples; ++i) {
      const kernels::SampleRow& sample = batch.samples[chunk.first_sample + i];
      REQUIRE(sample.row == row++);
      if (sample.uncond_row >= 0) REQUIRE(sample.uncond_row == row++);
    }
    REQUIRE(row == chunk.num_head_rows);
    next_row += chunk.num_head_rows;
    next_sample += chunk.num_samples;
  }
  REQUIRE(next_row == static_cast<int32_t>(batch.head_rows.size()));
  REQUIRE(next_sample == static_cast<int32_t>(batch.samples.size()));
}

namespace {

Sequence MakeLongSequence(int32_t prompt_tokens, int32_t gen_length, int32_t block_length,
                          float cfg_scale = 0) {
  Request request = MakeRequest(std::vector<int32_t>(prompt_tokens, 10), gen_length, 5);
  request.sampling.steps = gen_length;
  request.sampling.block_length = block_length;
  request.sampling.cfg_scale = cfg_scale;
  request.sparse.mode = SparseMode::kOff;
  return Sequence::FromRequest(request, SmallHeadsInfo());
}

// Each head row's query row is the query row of the same packed row.
void CheckHeadRows(const StepBatch& batch) {
  REQUIRE(batch.head_query_rows.size() == batch.head_rows.size());
  for (size_t i = 0; i < batch.head_rows.size(); ++i) {
    CAPTURE(i);
    const int32_t query_row = batch.head_query_rows[i];
    REQUIRE(query_row < batch.num_query_rows);
    REQUIRE((batch.query_rows.empty() ? query_row : batch.query_rows[query_row]) ==
            batch.head_rows[i]);
  }
}

}  // namespace

TEST_CASE("The last layer's queries are the tiles that hold head rows") {
  std::map<SequenceId, Sequence> sequences;
  sequences.emplace(1, MakeLongSequence(240, 60, 30));  // head rows 240..269: tiles 1 and 2
  sequences.emplace(2, MakeLongSequence(500, 20, 20));  // 500..519: tiles 3 and 4, the last
  StepBatch batch;
  BuildStepBatch(sequences, SmallHeadsInfo(), 1, batch);
  REQUIRE(batch.ranges.size() == 2);
  REQUIRE(batch.ranges[0].first_token == 128);
  REQUIRE(batch.ranges[0].num_tokens == 172);  // to the end of 300 tokens
  REQUIRE(batch.ranges[0].first_row == 0);
  REQUIRE(batch.passes[1].first_range == 1);
  REQUIRE(batch.passes[1].num_ranges == 1);
  REQUIRE(batch.ranges[1].first_token == 384);
  REQUIRE(batch.ranges[1].num_tokens == 136);
  REQUIRE(batch.ranges[1].first_row == 172);
  REQUIRE(batch.num_query_rows == 172 + 136);
  REQUIRE(batch.query_rows.size() == 172 + 136);
  REQUIRE(batch.query_positions.size() == batch.query_rows.size());
  REQUIRE(batch.query_positions[171] == 299);
  REQUIRE(batch.query_rows[172] == 300 + 384);
  REQUIRE(batch.query_positions[172] == 384);
  CheckHeadRows(batch);

  BuildStepBatch(sequences, SmallHeadsInfo(), 128, batch);
  REQUIRE(batch.ranges[1].first_row == 256);
  REQUIRE(batch.num_query_rows == 256 + 136);
  CheckHeadRows(batch);
}

TEST_CASE("The tile before the first candidate is asked where a row predicts the next position") {
  std::map<SequenceId, Sequence> sequences;
  sequences.emplace(1, MakeLongSequence(256, 20, 20));  // asked are 255..274: tiles 1 and 2
  ModelInfo model = SmallHeadsInfo();
  model.predicts_next = true;
  StepBatch batch;
  BuildStepBatch(sequences, model, 128, batch);
  REQUIRE(batch.ranges.size() == 1);
  REQUIRE(batch.ranges[0].first_token == 128);
  REQUIRE(batch.ranges[0].num_tokens == 148);
  CheckHeadRows(batch);
}

TEST_CASE("Scattered head rows make several ranges, and a guided sequence has them twice") {
  std::map<SequenceId, Sequence> sequences;
  sequences.emplace(1, MakeLongSequence(1000, 4, 4, 1.0f));
  Sequence& sequence = sequences.at(1);
  sequence.request.canvas = {3, 130, 600, 1003};  // tiles 0 and 1, 4, 7
  sequence.ids.assign(1004, 10);
  for (const int32_t position : sequence.request.canvas) sequence.ids[position] = 5;
  StepBatch batch;
  BuildStepBatch(sequences, SmallHeadsInfo(), 128, batch);
  REQUIRE(batch.ranges.size() == 6);
  for (int32_t pass = 0; pass < 2; ++pass) {
    REQUIRE(batch.passes[pass].num_ranges == 3);
    const kernels::QueryRange* ranges = &batch.ranges[batch.passes[pass].first_range];
    REQUIRE(ranges[0].first_token == 0);
    REQUIRE(ranges[0].num_tokens == 256);
    REQUIRE(ranges[1].first_token == 512);
    REQUIRE(ranges[2].first_token == 896);
    REQUIRE(ranges[2].num_tokens == 108);
  }
  CheckHeadRows(batch);
}

TEST_CASE("Where a sequence selects, the query rows are the packed rows") {
  testing::FakeBackend backend;
  std::map<SequenceId, Sequence> sequences;
  sequences.emplace(1, MakeLongSequence(300, 20, 20));
  Request request = MakeRequest(std::vector<int32_t>(60, 10), 40, 5);
  request.sampling.steps = 40;
  request.sampling.block_length = 40;
  request.sparse.mode = SparseMode::kSparseD;
  sequences.emplace(2, Sequence::FromRequest(request, SmallHeadsInfo()));
  auto masks = MaskCache::Create(backend, {1, 3, 2, 4, 32});
  REQUIRE(masks.ok());
  sequences.at(2).masks.emplace(std::move(masks).value());
  sequences.at(2).next_step = 9;  // selects
  StepBatch batch;
  BuildStepBatch(sequences, SmallHeadsInfo(), 128, batch);
  REQUIRE(batch.query_rows.empty());
  REQUIRE(batch.num_query_rows == static_cast<int64_t>(batch.ids.size()));
  REQUIRE(batch.ranges[0].first_token == 256);
  REQUIRE(batch.ranges[0].first_row == 256);
  CheckHeadRows(batch);
}

TEST_CASE("A sequence without head rows asks nothing in the last layer") {
  std::map<SequenceId, Sequence> sequences;
  sequences.emplace(1, MakeLongSequence(300, 20, 20));
  for (int32_t& id : sequences.at(1).ids) id = 10;
  StepBatch batch;
  BuildStepBatch(sequences, SmallHeadsInfo(), 1, batch);
  REQUIRE(batch.ranges.empty());
  REQUIRE(batch.num_query_rows == 0);
  REQUIRE(batch.head_rows.empty());
}

TEST_CASE("Finished sequences take no rows") {
  std::map<SequenceId, Sequence> sequences;
  sequences.emplace(1, MakeSequence({10, 11}, 4, 0));
  sequences.emplace(2, MakeSequence({20}, 2, 0));
  sequences.at(1).finished = true;
  StepBatch batch;
  BuildStepBatch(sequences, SmallHeadsInfo(), 1, batch);
  REQUIRE(batch.ids.size() == 3);
  REQUIRE(batch.entries.size() == 1);
  REQUIRE(batch.entries[0].id == 2);
}

}  // namespace sparsed::engine
