// The numbers that /metrics shows.
#pragma once

#include <prometheus/registry.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "engine/step_scheduler.h"
#include "server/event_sink.h"
#include "server/process_metrics.h"

namespace sparsed::server {

// What became of the generations so far, in sums.
struct RequestTotals {
  struct Sum {
    uint64_t count = 0;
    double seconds = 0;
  };
  Sum succeeded;       // from arrival to end
  Sum failed;          // likewise; all that ended otherwise, refused ones among them
  Sum waited;          // in the queue, of those that ran
  Sum ran;             // from the first step to the end
  uint64_t steps = 0;  // of the engine; requests share them
};

// Thread-safe.
class Metrics {
 public:
  Metrics(const std::string& version, const std::string& commit);
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  // outcome: the code's name in lower case, "ok" or "cancelled". Times and tokens count only for
  // requests that ran.
  void RequestDone(const std::string& surface, const std::string& outcome, const RunStats& stats);
  void Rejected(const std::string& reason);
  void FirstBlock(double seconds);
  // phase: the dearest kind among the sequences of the step.
  void StepDone(engine::StepKind phase, double seconds, int64_t sequences, int64_t committed);
  // density: of the pattern that a step has just built.
  void PatternBuilt(double density);
  // recall: as a step has estimated it. below_floor: of the request.
  void RecallEstimated(double recall, bool below_floor);
  void WastedSteps(int64_t steps);
  void SlowClients(int64_t streams);
  // What sparsed_mask_cache_usage_ratio is a ratio of. Before SetRunning.
  void SetMaskCacheLimit(int64_t bytes) { mask_cache_limit_ = bytes; }
  // Of the running requests, so many did not take part in a step.
  void SatOut(int64_t sequences);
  // drain_seconds: until all that wait have started; 0: not known.
  void SetWaiting(int64_t requests, int64_t tokens, double drain_seconds);
  void SetRunning(int64_t requests, int64_t mask_cache_bytes, int64_t mask_caches);
  void SetReady(bool ready);
  // Of the gRPC port, in seconds since 1970.
  void SetCertificateEnd(int64_t seconds);
  // gpu: its number, as text.
  void SetGpuMemory(const std::string& gpu, uint64_t used_bytes, uint64_t total_bytes);

  RequestTotals Totals() const;
  // Prometheus text format 0.0.4.
  std::string Text() const;

 private:
  prometheus::Registry registry_;
  ProcessMetrics process_;
  prometheus::Family<prometheus::Counter>* requests_;
  prometheus::Family<prometheus::Counter>* rejections_;
  prometheus::Family<prometheus::Gauge>* gpu_used_bytes_;
  prometheus::Family<prometheus::Gauge>* gpu_total_bytes_;
  prometheus::Family<prometheus::Gauge>* certificate_end_;  // no series without TLS
  prometheus::Gauge* ready_;
  prometheus::Gauge* running_;
  prometheus::Gauge* waiting_;
  prometheus::Gauge* waiting_tokens_;
  prometheus::Gauge* drain_seconds_;
  prometheus::Gauge* mask_cache_bytes_;
  prometheus::Gauge* mask_cache_entries_;
  prometheus::Gauge* mask_cache_usage_;
  int64_t mask_cache_limit_ = 0;
  prometheus::Counter* prompt_tokens_;
  prometheus::Counter* generated_tokens_;
  prometheus::Counter* wasted_steps_;
  prometheus::Counter* slow_clients_;
  prometheus::Counter* sat_out_;
  prometheus::Counter* below_floor_;
  prometheus::Histogram* queue_seconds_;
  prometheus::Histogram* inference_seconds_;
  prometheus::Histogram* e2e_seconds_;
  prometheus::Histogram* first_block_seconds_;
  prometheus::Histogram* output_token_seconds_;
  prometheus::Histogram* batch_size_;
  prometheus::Histogram* committed_tokens_;
  prometheus::Histogram* mask_density_;
  prometheus::Histogram* recall_;
  prometheus::Histogram* step_seconds_[3];  // by StepKind

  mutable std::mutex mu_;
  // The members below are guarded by mu_.
  RequestTotals::Sum succeeded_;
  RequestTotals::Sum failed_;
};

}  // namespace sparsed::server
