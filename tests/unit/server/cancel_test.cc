// Requests that are cancelled wherever they are, through the real queue and loop: each ends once,
// as cancelled, and takes everything with it.
#include <algorithm>
#include <iostream>
#include <random>
#include <vector>

#include "tests/testing/resident.h"
#include "tests/testing/sanitizers.h"
#include "tests/unit/server/step_loop_fixture.h"

namespace sparsed::server {
namespace {

constexpr int kRequests = testing::kSanitizer ? 1000 : 10000;
constexpr int kWarmUpRequests = 1000;
constexpr int64_t kMaxGrowthBytes = int64_t{4} << 20;
constexpr int kLive = 40;  // requests that are not over; 16 of them run

// Keeps counts only: what it held would count as growth.
class CancelledSink final : public EventSink {
 public:
  bool cancelled() const override { return cancelled_; }
  void OnProgress(const v1::Progress&) override {}
  void OnFrame(const v1::Frame&) override {}
  void OnBlock(const v1::Block&) override {}
  void OnResult(const v1::GenerateResponse&, const RunStats&) override { ++ends; }
  void OnFailure(const Failure& failure, const RunStats& stats) override {
    ++ends;
    code = failure.code();
    steps = stats.steps;
  }
  void Cancel() { cancelled_ = true; }

  int ends = 0;
  int steps = 0;
  std::optional<grpc::StatusCode> code;

 private:
  bool cancelled_ = false;
};

class CancelRun : public LoopFixture {
 public:
  // Pushes until enough are there, then cancels some of those that are: waiting, in their first
  // step, or later.
  void DuringStep() {
    Collect();
    while (pushed < kRequests && live_.size() < kLive) PushOne();
    std::shuffle(live_.begin(), live_.end(), random_);
    const size_t victims = pushed == kRequests ? live_.size() : random_() % 8;
    for (size_t i = 0; i < std::min(victims, live_.size()); ++i) live_[i]->Cancel();
    if (pushed == kRequests) queue->Close(Draining());
  }

  void PushOne() {
    Ticket ticket = MakeTicket(*tiny.engine, nullptr, 32, 32, random_());
    if (random_() % 2 == 0) {
      ticket.valid.request.sparse.mode = engine::SparseMode::kSparseD;
      ticket.need = tiny.engine->Estimate(ticket.valid.request);
    }
    auto sink = std::make_shared<CancelledSink>();
    ticket.sink = sink;
    live_.push_back(std::move(sink));
    REQUIRE_FALSE(Push(std::move(ticket)).has_value());
    if (++pushed == kWarmUpRequests) resident_before = testing::ResidentBytes();
  }

  // Counts those that are over, by where they were.
  void Collect() {
    std::erase_if(live_, [this](const std::shared_ptr<CancelledSink>& sink) {
      if (sink->ends == 0) return false;
      if (sink->ends > 1) ++ended_twice;
      if (!sink->code) {
        ++finished;
      } else if (*sink->code != grpc::StatusCode::CANCELLED) {
        ++failed;
      } else {
        ++(sink->steps == 0 ? waiting : sink->steps == 1 ? in_first_step : later);
      }
      return true;
    });
  }

  int pushed = 0, finished = 0, failed = 0, ended_twice = 0;
  int waiting = 0, in_first_step = 0, later = 0;  // when they were cancelled
  int64_t resident_before = 0;

 private:
  std::mt19937 random_{7};
  std::vector<std::shared_ptr<CancelledSink>> live_;
};

}  // namespace

TEST_CASE_METHOD(CancelRun, "10,000 requests cancelled waiting, in the first step or later") {
  Build();
  const uint64_t allocated = tiny.engine->backend_info().allocated_bytes;
  on_step = [this](int) { DuringStep(); };
  PushOne();
  REQUIRE(loop->Run().ok());
  Collect();
  const int64_t growth = testing::ResidentBytes() - resident_before;
  std::cout << "cancelled: " << waiting << " waiting, " << in_first_step << " in the first step, "
            << later << " later; " << finished << " finished; resident memory grew by "
            << growth / 1024 << " KiB after the first " << kWarmUpRequests << "\n";
  CHECK(waiting + in_first_step + later + finished == kRequests);
  CHECK(failed == 0);
  CHECK(ended_twice == 0);
  CHECK(waiting > kRequests / 10);
  CHECK(in_first_step > kRequests / 50);
  CHECK(later > kRequests / 10);
  CHECK(queue->size() == 0);
  CHECK(EngineEmpty());
  CHECK(tiny.engine->backend_info().allocated_bytes == allocated);
  if (testing::kResidentMeansHeld) CHECK(growth < kMaxGrowthBytes);
}

}  // namespace sparsed::server
