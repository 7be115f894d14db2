// The server's neighbours for its tests: a tokenizer of letters, a sink that records, a clock that
// is turned by hand, and a tiny engine on the fake backend.
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/engine.h"
#include "engine/model_folder.h"
#include "engine/tokenizer/chat_template.h"
#include "engine/tokenizer/tokenizer.h"
#include "google/rpc/error_details.pb.h"
#include "server/event_sink.h"
#include "server/served_model.h"
#include "server/ticket.h"
#include "tests/testing/catch.h"
#include "tests/testing/fake_backend.h"
#include "tests/testing/letter_tokenizer.h"

namespace sparsed::server {

inline constexpr int32_t kMask = testing::kLetterMask;
inline constexpr int32_t kVocabulary = testing::kLetterVocabulary;

inline int32_t IdOf(char c) { return testing::LetterId(c); }

inline std::unique_ptr<engine::Tokenizer> MakeTokenizer() {
  auto tokenizer = engine::Tokenizer::Parse(testing::LetterTokenizerJson(), "");
  INFO(tokenizer.status().ToString());
  REQUIRE(tokenizer.ok());
  return *std::move(tokenizer);
}

// Joins the contents; a turn that says "raise" makes it fail.
inline std::unique_ptr<engine::ChatTemplate> MakeChatTemplate() {
  auto chat_template = engine::ChatTemplate::Parse(
      "{% for turn in messages %}"
      "{% if turn['content'] == 'raise' %}{{ raise_exception('made to fail') }}{% endif %}"
      "{{ turn['content'] }}{% endfor %}",
      "", "");
  INFO(chat_template.status().ToString());
  REQUIRE(chat_template.ok());
  return *std::move(chat_template);
}

// Records what it is told, and that it is told one end only.
class RecordingSink final : public EventSink {
 public:
  bool cancelled() const override { return cancelled_; }
  void Cancel() { cancelled_ = true; }
  bool too_slow() const override { return too_slow_; }
  void MakeTooSlow() { too_slow_ = true; }

  void OnProgress(const v1::Progress& progress_event) override {
    const std::lock_guard lock(mu_);
    progress.push_back(progress_event);
  }
  void OnFrame(const v1::Frame& frame) override {
    const std::lock_guard lock(mu_);
    frames.push_back(frame);
  }
  void OnBlock(const v1::Block& block) override {
    const std::lock_guard lock(mu_);
    blocks.push_back(block);
  }
  void OnInspected(engine::InspectedStep step) override {
    const std::lock_guard lock(mu_);
    inspected.push_back(std::move(step));
  }
  void OnResult(const v1::GenerateResponse& value, const RunStats& run) override {
    const std::lock_guard lock(mu_);
    result = value;
    stats = run;
    ++ends;
  }
  void OnFailure(const Failure& value, const RunStats& run) override {
    const std::lock_guard lock(mu_);
    failure = value;
    stats = run;
    ++ends;
  }

  std::string JoinedBlocks() const {
    std::string text;
    for (const v1::Block& block : blocks) text += block.text();
    return text;
  }

  std::vector<v1::Progress> progress;
  std::vector<v1::Frame> frames;
  std::vector<v1::Block> blocks;
  std::vector<engine::InspectedStep> inspected;
  std::optional<v1::GenerateResponse> result;
  std::optional<Failure> failure;
  RunStats stats;
  int ends = 0;

 private:
  std::atomic<bool> cancelled_ = false;
  std::atomic<bool> too_slow_ = false;
  std::mutex mu_;
};

class FakeClock {
 public:
  TimePoint Now() const { return TimePoint(Duration(ticks_.load())); }
  void Advance(Duration by) { ticks_ += by.count(); }
  Clock clock() {
    return [this] { return Now(); };
  }

 private:
  std::atomic<Duration::rep> ticks_ = 0;
};

// The tiny synthetic model on a fake backend.
struct TinyEngine {
  testing::FakeBackend* backend = nullptr;  // owned by the engine
  std::unique_ptr<engine::Engine> engine;
};

inline TinyEngine MakeTinyEngine(testing::FakeBackendOptions options = {},
                                 int64_t max_batch_tokens = 2048, int64_t max_running_tokens = 0) {
  TinyEngine tiny;
  options.mask_token_id = kMask;
  auto backend = std::make_unique<testing::FakeBackend>(std::move(options));
  tiny.backend = backend.get();
  auto model = engine::MakeSyntheticModel("tiny", 1, *backend);
  REQUIRE(model.ok());
  auto made = engine::Engine::Create(std::move(backend), *std::move(model),
                                     {max_batch_tokens, max_running_tokens});
  REQUIRE(made.ok());
  tiny.engine = *std::move(made);
  return tiny;
}

// A ticket for `canvas` tokens in `steps` steps behind 4 prompt tokens.
inline Ticket MakeTicket(const engine::Engine& engine, std::shared_ptr<EventSink> sink,
                         int32_t canvas = 32, int32_t steps = 32, uint64_t seed = 1) {
  Ticket ticket;
  ticket.request_id = absl::StrCat("id-", seed);
  ticket.valid.request = engine::MakeRequest({17, 18, 19, 20}, canvas, kMask);
  ticket.valid.request.sampling.steps = steps;
  ticket.valid.request.sampling.block_length = std::min(canvas, 32);
  ticket.valid.request.sampling.seed = seed;
  ticket.valid.request.sampling.stop_at_end = false;
  ticket.valid.text_options.stop_at_end = false;
  ticket.valid.text_options.end_token_ids = engine.model_info().end_token_ids;
  ticket.valid.parts = {{"", canvas}};
  ticket.need = engine.Estimate(ticket.valid.request);
  ticket.deadline = TimePoint::max();
  ticket.sink = std::move(sink);
  return ticket;
}

// The first detail of this type; one must be there.
template <typename Detail>
Detail DetailOf(const Failure& failure) {
  Detail detail;
  for (const google::protobuf::Any& any : failure.status.details()) {
    if (any.UnpackTo(&detail)) return detail;
  }
  FAIL("no detail " << detail.GetDescriptor()->full_name() << " in "
                    << failure.status.ShortDebugString());
  return detail;
}

}  // namespace sparsed::server
