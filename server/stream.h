// One streamed call: events from the engine thread become writes, one in flight at a time, and one
// Finish. gRPC itself is behind two virtual functions.
// Next: server/calls.h
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>

#include "server/clock.h"
#include "server/event_sink.h"
#include "server/open_streams.h"
#include "server/outbox.h"

namespace sparsed::server {

// Thread-safe. The lock is never held while StartWrite or FinishCall runs: FinishCall may be the
// last thing that happens to this object.
class Stream : public EventSink, public OpenStream {
 public:
  bool cancelled() const override { return cancelled_.load(std::memory_order_relaxed); }
  bool too_slow() const override { return too_slow_.load(std::memory_order_relaxed); }
  void OnProgress(const v1::Progress& progress) override;
  void OnFrame(const v1::Frame& frame) override;
  void OnBlock(const v1::Block& block) override;
  void OnResult(const v1::GenerateResponse& result, const RunStats& stats) override;
  void OnFailure(const Failure& failure, const RunStats& stats) override;

  // The queue took the request. May come after events of the engine; they wait for it.
  void Accept(const v1::Accepted& accepted);

  bool CheckReader(TimePoint now, Duration limit) override;

 protected:
  // The client is gone or has cancelled. In either order with a failed write; idempotent.
  void MarkCancelled() { cancelled_.store(true, std::memory_order_relaxed); }
  // The write that StartWrite began is over. Not ok: nothing more can be written.
  void WriteDone(bool ok);

  // Begins to write; WriteDone follows. Never called while a write is in flight.
  virtual void StartWrite(const v1::StreamGenerateResponse& event) = 0;
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
  Outbox outbox_;
  std::optional<Failure> failure_;
  bool ended_ = false;          // OnResult or OnFailure was called
  bool broken_ = false;         // a write failed
  bool writing_ = false;        // a write is in flight
  bool finished_ = false;       // FinishCall was called
  uint64_t writes_ = 0;         // begun so far
  uint64_t stalled_write_ = 0;  // the one that CheckReader saw last; 0: none
  TimePoint stalled_since_;
};

}  // namespace sparsed::server
