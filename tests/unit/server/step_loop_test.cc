#include "tests/unit/server/step_loop_fixture.h"

namespace sparsed::server {
namespace {

std::vector<uint32_t> TokensOf(const RecordingSink& sink) {
  REQUIRE(sink.result.has_value());
  return {sink.result->token_ids().begin(), sink.result->token_ids().end()};
}

}  // namespace

TEST_CASE_METHOD(LoopFixture, "loop: a request runs to its end and its blocks join to its text") {
  Build();
  auto sink = std::make_shared<RecordingSink>();
  Ticket ticket = MakeTicket(*tiny.engine, sink, 64, 32, 3);
  ticket.wants_progress = true;
  ticket.wants_frames = true;
  ticket.valid.token_confidences = true;
  ticket.model = "tiny";
  REQUIRE_FALSE(Push(std::move(ticket)).has_value());
  REQUIRE(Run().ok());
  CHECK(EngineEmpty());
  CHECK(sink->ends == 1);
  REQUIRE(sink->result.has_value());
  const v1::GenerateResponse& result = *sink->result;
  CHECK(steps == 32);
  CHECK(result.model() == "tiny");
  CHECK(result.request_id() == "id-3");
  CHECK(result.seed() == 3);
  CHECK(result.token_ids().size() == 64);
  CHECK(result.text() == sink->JoinedBlocks());
  CHECK_FALSE(result.text().empty());
  CHECK(result.usage().prompt_tokens() == 4);
  CHECK(result.usage().generated_tokens() == 64);
  CHECK(result.usage().full_steps() == 32);
  CHECK(result.finish_reason() == v1::FINISH_REASON_LENGTH);
  CHECK(result.timings().full().seconds() == 32);
  CHECK(result.timings().total().seconds() == 32);
  CHECK_FALSE(result.sparse().used());
  REQUIRE(result.tokens().size() == 64);
  for (int i = 0; i < 64; ++i) {
    CHECK(result.tokens(i).id() == result.token_ids(i));
    CHECK(result.tokens(i).commit_step() / 16 == static_cast<uint32_t>(i) / 32);
  }
  // The clock goes a second a step, so that every step may report.
  REQUIRE(sink->progress.size() == 32);
  CHECK(sink->progress[9].step() == 10);
  CHECK(sink->progress[9].steps() == 32);
  CHECK(sink->progress[9].committed_tokens() == 20);
  CHECK(sink->progress[9].kind() == v1::STEP_KIND_FULL);
  REQUIRE(sink->frames.size() == 32);
  CHECK(sink->frames[0].text().find("\xE2\x96\x91") != std::string::npos);
  CHECK(sink->frames[31].text() == result.text());
  // Blocks name every token once, in order.
  uint32_t next = 0;
  for (const v1::Block& block : sink->blocks) {
    CHECK(block.position() == next);
    for (const uint32_t id : block.token_ids())
      CHECK(id == result.token_ids(static_cast<int>(next++)));
  }
  CHECK(next == 64);
}

TEST_CASE_METHOD(LoopFixture, "loop: inspected steps reach their call, and its memory is freed") {
  for (const bool cancelled : {false, true}) {
    CAPTURE(cancelled);
    steps = 0;
    Build();
    auto sink = std::make_shared<RecordingSink>();
    Ticket ticket = MakeTicket(*tiny.engine, sink, 64, 32, 3);
    ticket.valid.request.sparse.mode = engine::SparseMode::kSparseD;
    const int64_t plain = tiny.engine->Estimate(ticket.valid.request).mask_cache_bytes;
    ticket.valid.request.inspect = engine::InspectParams{{}, {}, {2, 20}, true};
    ticket.need = tiny.engine->Estimate(ticket.valid.request);
    CHECK(ticket.need.mask_cache_bytes > plain);
    REQUIRE_FALSE(Push(std::move(ticket)).has_value());
    on_step = [&](int step) {
      if (step == 10 && cancelled) sink->Cancel();
    };
    REQUIRE(Run().ok());
    CHECK(EngineEmpty());
    CHECK(sink->ends == 1);
    CHECK(steps == (cancelled ? 11 : 32));
    REQUIRE(sink->inspected.size() == (cancelled ? 2 : 3));
    CHECK(sink->inspected[0].step == 2);
    CHECK(sink->inspected[1].kind == engine::StepKind::kSelect);
    REQUIRE(sink->inspected[1].heads.size() == 4);
    CHECK(sink->inspected[1].heads[3].recall.has_value());
  }
}

TEST_CASE_METHOD(LoopFixture, "loop: the density of each pattern is measured once") {
  Build();
  const auto full = PushPlain();
  auto sink = std::make_shared<RecordingSink>();
  Ticket ticket = MakeTicket(*tiny.engine, sink, 64, 32, 3);
  ticket.valid.request.sparse.mode = engine::SparseMode::kSparseD;
  ticket.need = tiny.engine->Estimate(ticket.valid.request);
  REQUIRE_FALSE(Push(std::move(ticket)).has_value());
  REQUIRE(Run().ok());
  REQUIRE(sink->result.has_value());
  const float density = sink->result->sparse().density();
  const std::string text = metrics.Text();
  CHECK(text.find("sparsed_mask_density_ratio_count 1\n") != std::string::npos);
  const size_t sum = text.find("\nsparsed_mask_density_ratio_sum ") + 32;
  CHECK(std::stof(text.substr(sum, 16)) == Approx(density));
}

TEST_CASE_METHOD(LoopFixture, "loop: progress at most ten times a second") {
  Build();
  auto sink = std::make_shared<RecordingSink>();
  Ticket ticket = MakeTicket(*tiny.engine, sink);
  ticket.wants_progress = true;
  REQUIRE_FALSE(Push(std::move(ticket)).has_value());
  // 40 ms a step in all.
  on_step = [this](int) { clock.Advance(std::chrono::milliseconds(40) - std::chrono::seconds(1)); };
  REQUIRE(Run().ok());
  // The first step, then every third.
  CHECK(sink->progress.size() == 11);
}

TEST_CASE_METHOD(LoopFixture, "loop: a request gives the same tokens alone and in any company") {
  Build();
  const auto alone = PushPlain(64, 16, 5);
  REQUIRE(Run().ok());
  const std::vector<uint32_t> expected = TokensOf(*alone);

  const auto permutation = GENERATE(0, 1, 2);
  Build();
  std::vector<std::shared_ptr<RecordingSink>> others;
  std::shared_ptr<RecordingSink> again;
  for (int i = 0; i < 6; ++i) {
    if (i == 2 * permutation) again = PushPlain(64, 16, 5);
    others.push_back(PushPlain(32 * (1 + i % 3), 12 + 12 * (i % 2), 100 + i));
  }
  REQUIRE(Run().ok());
  CHECK(TokensOf(*again) == expected);
  for (const auto& other : others) CHECK(other->result.has_value());
  CHECK(EngineEmpty());
}

TEST_CASE_METHOD(LoopFixture, "loop: requests join and leave between steps") {
  Build();
  const auto longer = PushPlain(32, 32, 1);
  std::shared_ptr<RecordingSink> late;
  on_step = [&](int step) {
    if (step == 4) late = PushPlain(32, 4, 2);
    if (step == 10) queue->Close(Draining());
  };
  REQUIRE(loop->Run().ok());
  CHECK(steps == 32);
  REQUIRE(late->result.has_value());
  CHECK(late->stats.steps == 4);
  // Pushed in step 4, it runs in steps 5 to 8.
  CHECK(late->result->timings().total().seconds() == 4);
}

TEST_CASE_METHOD(LoopFixture, "loop: a stop string ends the request with its decoding block") {
  Build();
  const auto whole = PushPlain(96, 96, 8);
  REQUIRE(Run().ok());
  const std::string text = whole->result->text();
  REQUIRE(text.size() == whole->JoinedBlocks().size());
  REQUIRE(text.size() > 40);

  Build();
  steps = 0;
  auto sink = std::make_shared<RecordingSink>();
  Ticket ticket = MakeTicket(*tiny.engine, sink, 96, 96, 8);
  const std::string stop = text.substr(3, 3);
  ticket.valid.text_options.stop = {stop};
  ticket.valid.token_confidences = true;
  REQUIRE_FALSE(Push(std::move(ticket)).has_value());
  REQUIRE(Run().ok());
  REQUIRE(sink->result.has_value());
  CHECK(sink->result->text() == text.substr(0, text.find(stop)));
  CHECK(sink->JoinedBlocks() == sink->result->text());
  CHECK(sink->result->finish_reason() == v1::FINISH_REASON_STOP);
  CHECK(steps == 32);
  CHECK(sink->result->usage().generated_tokens() == 32);
  REQUIRE(sink->result->token_ids().size() == 96);
  for (int i = 0; i < 96; ++i) {
    CHECK(sink->result->token_ids(i) == (i < 32 ? whole->result->token_ids(i) : 1u));
    CHECK((sink->result->tokens(i).commit_step() < 32) == (i < 32));
  }
}

TEST_CASE_METHOD(LoopFixture,
                 "loop: sparse requests report their pattern and give its memory back") {
  Build();
  auto sink = std::make_shared<RecordingSink>();
  Ticket ticket = MakeTicket(*tiny.engine, sink, 256, 32, 1);
  ticket.valid.request.sparse.mode = engine::SparseMode::kSparseD;
  ticket.valid.request.sparse.select = 0.3;
  ticket.valid.request.sparse.block_size = 32;
  ticket.need = tiny.engine->Estimate(ticket.valid.request);
  REQUIRE(ticket.need.mask_cache_bytes > 0);
  const int64_t mask_bytes = ticket.need.mask_cache_bytes;
  REQUIRE_FALSE(Push(std::move(ticket)).has_value());
  bool shown = false;
  on_step = [&](int step) {
    if (step != 20) return;
    const std::string text = metrics.Text();
    shown = text.find("\nsparsed_mask_cache_entries 1\n") != std::string::npos &&
            text.find("\nsparsed_requests_running 1\n") != std::string::npos;
  };
  REQUIRE(Run().ok());
  CHECK(shown);
  CHECK(EngineEmpty());
  const v1::GenerateResponse& result = *sink->result;
  CHECK(result.sparse().used());
  CHECK(result.sparse().block_size() == 32);
  CHECK(result.sparse().skip() == 0.2f);
  CHECK(result.sparse().select() == 0.3f);
  CHECK(result.sparse().density() > 0);
  CHECK(result.sparse().density() < 1);
  CHECK(result.sparse().mask_cache_bytes() == static_cast<uint64_t>(mask_bytes));
  CHECK(result.usage().full_steps() == 7);
  CHECK(result.usage().select_steps() == 1);
  CHECK(result.usage().sparse_steps() == 24);
  CHECK(result.timings().sparse().seconds() == 24);
  CHECK(metrics.Text().find("\nsparsed_mask_cache_bytes 0\n") != std::string::npos);
}

TEST_CASE_METHOD(LoopFixture, "loop: infill gives the whole text and each hole's") {
  Build();
  auto sink = std::make_shared<RecordingSink>();
  Ticket ticket = MakeTicket(*tiny.engine, sink);
  engine::Request& request = ticket.valid.request;
  request.ids = {17, kMask, kMask, 18, kMask, kMask};
  request.canvas = {1, 2, 4, 5};
  request.sampling.steps = 2;
  request.sampling.block_length = 4;
  ticket.valid.infill = true;
  ticket.valid.parts = {{"A", 0}, {"", 2}, {"B", 0}, {"", 2}};
  ticket.need = tiny.engine->Estimate(request);
  REQUIRE_FALSE(Push(std::move(ticket)).has_value());
  REQUIRE(Run().ok());
  const v1::GenerateResponse& result = *sink->result;
  REQUIRE(result.hole_texts().size() == 2);
  CHECK(result.text() == "A" + result.hole_texts(0) + "B" + result.hole_texts(1));
  CHECK(sink->JoinedBlocks() == result.text());
  CHECK(result.usage().prompt_tokens() == 2);
}

TEST_CASE_METHOD(LoopFixture,
                 "loop: a GPU's memory is looked at once a second, a CPU's is not told") {
  step_time = [](int64_t) { return std::chrono::milliseconds(100); };
  Build();
  PushPlain();
  REQUIRE(Run().ok());
  CHECK(metrics.Text().find("sparsed_gpu_memory") == std::string::npos);

  testing::FakeBackendOptions options;
  options.device = "cuda:3";
  options.memory_bytes = 1 << 30;
  Build(options);
  const uint64_t taken = tiny.engine->backend_info().allocated_bytes;
  const int64_t looks = tiny.backend->info_calls();
  PushPlain();
  REQUIRE(Run().ok());
  CHECK(tiny.backend->info_calls() - looks == 4);  // in 3.2 seconds
  const std::string text = metrics.Text();
  CHECK(text.find(absl::StrCat("\nsparsed_gpu_memory_used_bytes{gpu=\"3\"} ", taken, "\n")) !=
        std::string::npos);
  CHECK(text.find("\nsparsed_gpu_memory_total_bytes{gpu=\"3\"} 1073741824\n") != std::string::npos);
}

}  // namespace sparsed::server
