// One streamed call: events from the engine thread become writes, one in flight at a time, and one
// Finish. gRPC itself is behind two virtual functions.
// Next: server/calls.h
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <utility>

#include "server/clock.h"
#include "server/event_sink.h"
#include "server/open_streams.h"
#include "server/outbox.h"

namespace sparsed::server {

// Thread-safe. The lock is never held while StartWrite or FinishCall runs: FinishCall may be the
// last thing that happens to this object. OutboxType: server/outbox.h or the like.
template <typename OutboxType>
class StreamOf : public EventSink, public OpenStream {
 public:
  using Event = typename OutboxType::Event;

  explicit StreamOf(OutboxType outbox = OutboxType()) : outbox_(std::move(outbox)) {}

  bool cancelled() const override { return cancelled_.load(std::memory_order_relaxed); }
  bool too_slow() const override { return too_slow_.load(std::memory_order_relaxed); }
  void OnProgress(const v1::Progress& progress) override {
    Update([&](OutboxType& outbox) { outbox.Add(progress); });
  }
  void OnFrame(const v1::Frame& frame) override {
    Update([&](OutboxType& outbox) { outbox.Add(frame); });
  }
  void OnBlock(const v1::Block& block) override {
    Update([&](OutboxType& outbox) { outbox.Add(block); });
  }
  // Of an inspection's outbox only.
  std::optional<Failure> ExpectInspection(const v1::InspectionStarted& started,
                                          int64_t bytes) override;
  void OnInspected(engine::InspectedStep step) override;
  void OnResult(const v1::GenerateResponse& result, const RunStats& stats) override;
  void OnFailure(const Failure& failure, const RunStats& stats) override;

  // The queue took the request. May come after events of the engine; they wait for it.
  void Accept(const v1::Accepted& accepted) {
    Update([&](OutboxType& outbox) { outbox.Accept(accepted); });
  }

  bool CheckReader(TimePoint now, Duration limit) override;

 protected:
  // The client is gone or has cancelled. In either order with a failed write; idempotent.
  void MarkCancelled() { cancelled_.store(true, std::memory_order_relaxed); }
  // The write that StartWrite began is over. Not ok: nothing more can be written.
  void WriteDone(bool ok);
  // Changes what is to be written: change(outbox), under the lock.
  template <typename Change>
  void Update(const Change& change) {
    {
      const std::lock_guard lock(mu_);
      change(outbox_);
    }
    Pump();
  }

  // Begins to write; WriteDone follows. Never called while a write is in flight.
  virtual void StartWrite(const Event& event) = 0;
  // Ends the call; null: OK. Called exactly once, with no write in flight.
  virtual void FinishCall(const Failure* failure) = 0;
  // Makes the write in flight fail. May come when the call is already over.
  virtual void AbortCall() = 0;

 private:
  void Pump();

  std::atomic<bool> cancelled_ = false;
  std::atomic<bool> too_slow_ = false;
  std::mutex mu_;
  // The members below are guarded by mu_.
  OutboxType outbox_;
  std::optional<Failure> failure_;
  bool ended_ = false;          // OnResult or OnFailure was called
  bool broken_ = false;         // a write failed
  bool writing_ = false;        // a write is in flight
  bool finished_ = false;       // FinishCall was called
  uint64_t writes_ = 0;         // begun so far
  uint64_t stalled_write_ = 0;  // the one that CheckReader saw last; 0: none
  TimePoint stalled_since_;
};

// Of a streamed generation.
using Stream = StreamOf<Outbox>;

}  // namespace sparsed::server
