#include "server/step_work.h"

#include "tests/unit/server/fakes.h"

namespace sparsed::server {
namespace {

engine::Request SparseRequest() {
  engine::Request request = engine::MakeRequest(std::vector<int32_t>(192, IdOf('a')), 64, kMask);
  request.sampling.steps = 32;
  request.sampling.block_length = 32;
  request.sampling.stop_at_end = false;
  request.sparse.mode = engine::SparseMode::kSparseD;
  request.sparse.select = 0.25;
  request.sparse.block_size = 32;
  return request;
}

}  // namespace

TEST_CASE("step work: a request's steps are those that it then takes") {
  TinyEngine tiny = MakeTinyEngine();
  const engine::Request request = SparseRequest();
  const int64_t tokens = tiny.engine->Estimate(request).batch_tokens;
  const RequestWork work = WorkOf(request, tiny.engine->model_info(), tokens, false);
  CHECK(work.full_steps == 8);
  CHECK(work.sparse_steps == 24);
  CHECK(work.least_steps == 32);
  CHECK(work.full.rows == 256);
  CHECK(work.full.pairs == 256 * 256);
  CHECK(work.sparse.pairs == 0.25 * 256 * 256);
  CHECK(WorkOf(request, tiny.engine->model_info(), tokens, true).least_steps == 16);
  CHECK(work.least_full_steps == 8);
  engine::Request refreshed = request;
  refreshed.sparse.refresh_steps = {10, 20, 30};
  const RequestWork more = WorkOf(refreshed, tiny.engine->model_info(), tokens, true);
  CHECK(more.full_steps == 11);
  CHECK(more.sparse_steps == 21);
  CHECK(more.least_full_steps == 9);  // of 16

  const engine::SequenceId id = tiny.engine->Start(request).value();
  for (int step = 0; step < 32; ++step) {
    const engine::Sequence& sequence = *tiny.engine->Find(id);
    const StepWork next = NextStepWork(sequence, tokens);
    CHECK(next.rows == 256);
    if (step < 8) {
      CHECK(next.pairs == 256 * 256);
    } else {
      CHECK(sequence.density < 1);
      CHECK(next.pairs == sequence.density * 256 * 256);
      CHECK(next.pairs > work.least_sparse.pairs);
    }
    REQUIRE(tiny.engine->Step().ok());
  }
  CHECK(tiny.engine->Find(id)->finished);
}

TEST_CASE("step work: with a confidence threshold a block may take one step") {
  TinyEngine tiny = MakeTinyEngine();
  engine::Request request = SparseRequest();
  request.sampling.steps = 64;
  request.sampling.block_length = 8;
  request.sampling.confidence_threshold = 0.9f;
  const int64_t tokens = tiny.engine->Estimate(request).batch_tokens;
  const RequestWork work = WorkOf(request, tiny.engine->model_info(), tokens, false);
  CHECK(work.full_steps == 14);
  CHECK(work.sparse_steps == 50);
  CHECK(work.least_steps == 8);
  CHECK(work.least_full_steps == 2);
  const RequestWork early = WorkOf(request, tiny.engine->model_info(), tokens, true);
  CHECK(early.least_steps == 1);
  CHECK(early.least_full_steps == 1);
}

TEST_CASE("step work: an inspected step looks at all pairs of one pass once more") {
  TinyEngine tiny = MakeTinyEngine();
  engine::Request request = SparseRequest();
  request.sampling.cfg_scale = 1;
  request.inspect = engine::InspectParams{{}, {}, {1}, false};
  const engine::SequenceId id = tiny.engine->Start(request).value();
  for (int step = 0; step < 8; ++step) {
    CAPTURE(step);
    const double times = step == 1 || step == 7 ? 3 : 2;  // 7 selects
    CHECK(NextStepWork(*tiny.engine->Find(id), 512).pairs == times * 256 * 256);
    REQUIRE(tiny.engine->Step().ok());
  }
}

TEST_CASE("step work: guidance looks at all pairs twice") {
  TinyEngine tiny = MakeTinyEngine();
  engine::Request request = SparseRequest();
  request.sparse.mode = engine::SparseMode::kOff;
  request.sampling.cfg_scale = 1;
  const int64_t tokens = tiny.engine->Estimate(request).batch_tokens;
  const RequestWork work = WorkOf(request, tiny.engine->model_info(), tokens, false);
  CHECK(work.full_steps == 32);
  CHECK(work.sparse_steps == 0);
  CHECK(work.full.rows == 512);
  CHECK(work.full.pairs == 2 * 256 * 256);
}

}  // namespace sparsed::server
