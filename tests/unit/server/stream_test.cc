#include "server/stream.h"

#include "tests/unit/server/fakes.h"

namespace sparsed::server {
namespace {

// A call whose reader decides when a write is done.
class ManualStream final : public Stream {
 public:
  using Stream::MarkCancelled;
  using Stream::WriteDone;

  std::vector<v1::StreamGenerateResponse> writes;
  int finishes = 0;
  std::optional<Failure> failure;

 private:
  void StartWrite(const v1::StreamGenerateResponse& event) override { writes.push_back(event); }
  void FinishCall(const Failure* why) override {
    ++finishes;
    if (why != nullptr) failure = *why;
  }
};

v1::Block MakeBlock(uint32_t position, const std::string& text) {
  v1::Block block;
  block.set_position(position);
  block.set_text(text);
  for (size_t i = 0; i < text.size(); ++i) {
    block.add_token_ids(position + static_cast<uint32_t>(i));
  }
  return block;
}

v1::Progress MakeProgress(uint32_t step) {
  v1::Progress progress;
  progress.set_step(step);
  return progress;
}

v1::Frame MakeFrame(uint32_t step) {
  v1::Frame frame;
  frame.set_step(step);
  return frame;
}

}  // namespace

TEST_CASE("stream: accepted comes first, even when the engine is faster") {
  ManualStream stream;
  stream.OnBlock(MakeBlock(0, "ab"));
  stream.OnProgress(MakeProgress(1));
  stream.OnResult({}, {});
  CHECK(stream.writes.empty());
  CHECK(stream.finishes == 0);
  stream.Accept({});
  for (size_t i = 1; i <= 4; ++i) {
    REQUIRE(stream.writes.size() == i);
    CHECK(stream.finishes == 0);
    stream.WriteDone(true);
  }
  CHECK(stream.writes[0].has_accepted());
  CHECK(stream.writes[1].has_block());
  CHECK(stream.writes[2].has_progress());
  CHECK(stream.writes[3].has_final());
  CHECK(stream.finishes == 1);
  CHECK_FALSE(stream.failure.has_value());
}

TEST_CASE("stream: while a write is in flight, text merges and the newest progress and frame win") {
  ManualStream stream;
  stream.Accept({});
  REQUIRE(stream.writes.size() == 1);
  for (uint32_t i = 0; i < 1000; ++i) {
    stream.OnBlock(MakeBlock(2 * i, "xy"));
    stream.OnProgress(MakeProgress(i));
    stream.OnFrame(MakeFrame(i));
  }
  CHECK(stream.writes.size() == 1);
  stream.OnResult({}, {});
  while (stream.finishes == 0) stream.WriteDone(true);
  REQUIRE(stream.writes.size() == 5);
  const v1::Block& block = stream.writes[1].block();
  CHECK(block.position() == 0);
  CHECK(block.text().size() == 2000);
  REQUIRE(block.token_ids().size() == 2000);
  CHECK(block.token_ids(1999) == 1999);
  CHECK(stream.writes[2].progress().step() == 999);
  CHECK(stream.writes[3].frame().step() == 999);
  CHECK(stream.writes[4].has_final());
}

TEST_CASE(
    "stream: after a failed write nothing is written and the engine's end finishes the call") {
  ManualStream stream;
  stream.Accept({});
  stream.WriteDone(false);
  CHECK(stream.cancelled());
  stream.OnBlock(MakeBlock(0, "a"));
  CHECK(stream.writes.size() == 1);
  CHECK(stream.finishes == 0);
  stream.OnFailure(Cancelled(), {});
  CHECK(stream.finishes == 1);
  REQUIRE(stream.failure.has_value());
  CHECK(stream.failure->code() == grpc::StatusCode::CANCELLED);
}

TEST_CASE("stream: a result after a failed write still ends the call once") {
  ManualStream stream;
  stream.Accept({});
  stream.OnResult({}, {});
  stream.WriteDone(false);
  CHECK(stream.finishes == 1);
  CHECK(stream.writes.size() == 1);
}

TEST_CASE("stream: a failure waits for the write in flight and drops what is not written") {
  ManualStream stream;
  stream.Accept({});
  stream.OnBlock(MakeBlock(0, "a"));
  stream.OnFailure(DrainTimeout(), {});
  CHECK(stream.finishes == 0);
  stream.WriteDone(true);
  CHECK(stream.finishes == 1);
  CHECK(stream.writes.size() == 1);
}

TEST_CASE("stream: a refusal ends the call without any event") {
  ManualStream stream;
  stream.OnFailure(QueueFull(1, 100), {});
  CHECK(stream.writes.empty());
  CHECK(stream.finishes == 1);
}

TEST_CASE("stream: cancelling is a flag, in any order with the failed write") {
  ManualStream stream;
  stream.Accept({});
  stream.MarkCancelled();
  stream.WriteDone(false);
  stream.MarkCancelled();
  CHECK(stream.cancelled());
  CHECK(stream.finishes == 0);
}

}  // namespace sparsed::server
