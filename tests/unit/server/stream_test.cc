#include "server/stream.h"

#include "server/open_streams.h"
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
  int aborts = 0;
  std::optional<Failure> failure;

 private:
  void StartWrite(const v1::StreamGenerateResponse& event) override { writes.push_back(event); }
  void FinishCall(const Failure* why) override {
    ++finishes;
    if (why != nullptr) failure = *why;
  }
  void AbortCall() override { ++aborts; }
};

TimePoint At(int second) { return TimePoint(std::chrono::seconds(second)); }
constexpr std::chrono::seconds kLimit(10);

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

TEST_CASE("stream: a reader that leaves text unread for the limit is too slow") {
  ManualStream stream;
  stream.Accept({});
  stream.OnFrame(MakeFrame(1));
  // Frames and progress alone may wait for ever: newer ones replace them.
  CHECK_FALSE(stream.CheckReader(At(0), kLimit));
  CHECK_FALSE(stream.CheckReader(At(100), kLimit));
  stream.OnBlock(MakeBlock(0, "a"));
  CHECK_FALSE(stream.CheckReader(At(101), kLimit));
  CHECK_FALSE(stream.CheckReader(At(110), kLimit));
  CHECK_FALSE(stream.too_slow());
  CHECK(stream.CheckReader(At(111), kLimit));
  CHECK(stream.too_slow());
  CHECK(stream.finishes == 0);
  // The engine sees it and ends the request; the client gets that once it reads on.
  stream.OnFailure(SlowConsumer(), {});
  CHECK(stream.aborts == 0);
  stream.WriteDone(true);
  CHECK(stream.finishes == 1);
  REQUIRE(stream.failure.has_value());
  CHECK(stream.failure->code() == grpc::StatusCode::RESOURCE_EXHAUSTED);
  CHECK(DetailOf<google::rpc::ErrorInfo>(*stream.failure).reason() == "SLOW_CONSUMER");
  CHECK_FALSE(stream.CheckReader(At(1000), kLimit));
}

TEST_CASE("stream: every write that is done gives the reader the whole limit again") {
  ManualStream stream;
  stream.Accept({});
  for (int i = 0; i < 10; ++i) {
    stream.OnBlock(MakeBlock(static_cast<uint32_t>(i), "a"));
    CHECK_FALSE(stream.CheckReader(At(9 * i), kLimit));
    CHECK_FALSE(stream.CheckReader(At(9 * i + 8), kLimit));
    stream.WriteDone(true);
  }
  CHECK_FALSE(stream.too_slow());
}

TEST_CASE("stream: an end that is not read is aborted after the limit, and after a cut again") {
  ManualStream ended;
  ended.Accept({});
  ended.OnResult({}, {});
  CHECK_FALSE(ended.CheckReader(At(0), kLimit));
  CHECK(ended.CheckReader(At(10), kLimit));
  CHECK(ended.aborts == 1);
  ended.WriteDone(false);
  CHECK(ended.finishes == 1);

  ManualStream cut;
  cut.Accept({});
  cut.OnBlock(MakeBlock(0, "a"));
  CHECK_FALSE(cut.CheckReader(At(0), kLimit));
  CHECK(cut.CheckReader(At(10), kLimit));
  CHECK(cut.aborts == 0);
  cut.OnFailure(SlowConsumer(), {});
  CHECK_FALSE(cut.CheckReader(At(19), kLimit));
  CHECK(cut.CheckReader(At(20), kLimit));
  CHECK(cut.aborts == 1);
}

TEST_CASE("stream: the open streams are all looked at, and those that are gone are not") {
  OpenStreams open;
  const auto slow = std::make_shared<ManualStream>();
  const auto quick = std::make_shared<ManualStream>();
  auto gone = std::make_shared<ManualStream>();
  for (const auto& stream : {slow, quick, gone}) {
    stream->Accept({});
    stream->OnBlock(MakeBlock(0, "a"));
    open.Add(stream);
  }
  gone.reset();
  quick->WriteDone(true);
  quick->WriteDone(true);
  CHECK(open.CheckReaders(At(0), kLimit) == 0);
  CHECK(open.CheckReaders(At(10), kLimit) == 1);
  CHECK(slow->too_slow());
  CHECK_FALSE(quick->too_slow());
  slow->OnFailure(SlowConsumer(), {});
  open.Remove(slow.get());
  CHECK(open.CheckReaders(At(30), kLimit) == 0);
  CHECK(slow->aborts == 0);
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
