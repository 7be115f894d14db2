// The one thread that drives the engine. Each turn: drop what was cancelled or has expired, start
// what the batcher admits, choose who takes part, do one denoising step, hand its events to the
// calls.
// Next: server/batcher.h, server/step_picker.h, engine/engine.h
#pragma once

#include <atomic>
#include <map>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "engine/engine.h"
#include "engine/tokenizer/tokenizer.h"
#include "server/active_request.h"
#include "server/batcher.h"
#include "server/clock.h"
#include "server/heartbeat.h"
#include "server/log.h"
#include "server/metrics.h"
#include "server/queue.h"
#include "server/step_costs.h"
#include "server/step_picker.h"

namespace sparsed::server {

class StepLoop {
 public:
  // All borrowed for the loop's life.
  struct Parts {
    engine::Engine* engine = nullptr;
    const engine::Tokenizer* tokenizer = nullptr;
    RequestQueue* queue = nullptr;
    Metrics* metrics = nullptr;
    const Log* log = nullptr;
    StepCosts* costs = nullptr;
    Limits limits;
    double cost_share = 0.25;  // see StepPicker
    Clock clock;
  };
  explicit StepLoop(Parts parts);

  // Until the queue is closed and every accepted request has ended: OK. INTERNAL if the device
  // fails: all requests have been ended and the queue is closed then, too.
  absl::Status Run();
  // At the next turn all requests, waiting and running, end with DrainTimeout. Any thread.
  void CancelAll() { cancel_all_.store(true); }
  Heartbeat& heartbeat() { return heartbeat_; }
  int64_t running() const { return running_count_.load(); }  // requests in the batch. Any thread.

 private:
  using Running = std::map<engine::SequenceId, ActiveRequest>;

  void DropCancelledAndExpired();
  void StartAdmitted();
  void Start(Ticket ticket, TimePoint now);
  std::vector<engine::SequenceId> PickStep();
  // What steps of these cost next.
  StepWork WorkOfStep(const std::vector<engine::SequenceId>& chosen) const;
  void Deliver(std::vector<engine::SequenceStep> steps, double seconds);
  void StopOnDeviceFault(const absl::Status& cause);
  void EndAll(const Failure& for_running, const Failure& for_waiting);
  // Frees what the request holds, then tells the client. Returns the next one.
  Running::iterator Fail(Running::iterator it, const Failure& failure);
  void Complete(Running::iterator it, TimePoint now);
  void ReportLoad();
  // The GPU's memory, once a second at most.
  void ReportDevice();

  Parts parts_;
  StepPicker picker_;
  Running running_;
  std::optional<TimePoint> device_reported_;
  Heartbeat heartbeat_;
  std::atomic<bool> cancel_all_ = false;
  std::atomic<int64_t> running_count_ = 0;
};

}  // namespace sparsed::server
