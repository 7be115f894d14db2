#include "server/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/text_serializer.h>

#include <utility>

namespace sparsed::server {
namespace {

using prometheus::Counter;
using prometheus::Family;
using prometheus::Gauge;
using prometheus::Histogram;
using Buckets = Histogram::BucketBoundaries;

const Buckets& LatencyBuckets() {
  static const Buckets buckets = {.05, .1, .25, .5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640};
  return buckets;
}
const Buckets& StepBuckets() {
  static const Buckets buckets = {.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5};
  return buckets;
}
const Buckets& ShareBuckets() {
  static const Buckets buckets = {.05, .1, .2, .3, .4, .5, .6, .7, .8, .9, 1};
  return buckets;
}
const Buckets& RecallBuckets() {
  static const Buckets buckets = {.25, .5, .6, .7, .8, .85, .9, .95, .98, .99, 1};
  return buckets;
}
const Buckets& CountBuckets() {
  static const Buckets buckets = {1, 2, 5, 10, 20, 50, 100, 200, 500, 1000};
  return buckets;
}

Family<Counter>& Counters(prometheus::Registry& registry, const char* name, const char* help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(registry);
}
Counter* OneCounter(prometheus::Registry& registry, const char* name, const char* help) {
  return &Counters(registry, name, help).Add({});
}
Family<Gauge>& Gauges(prometheus::Registry& registry, const char* name, const char* help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(registry);
}
Gauge* OneGauge(prometheus::Registry& registry, const char* name, const char* help) {
  return &Gauges(registry, name, help).Add({});
}
Family<Histogram>& Histograms(prometheus::Registry& registry, const char* name, const char* help) {
  return prometheus::BuildHistogram().Name(name).Help(help).Register(registry);
}
Histogram* OneHistogram(prometheus::Registry& registry, const char* name, const char* help,
                        const Buckets& buckets) {
  return &Histograms(registry, name, help).Add({}, buckets);
}

RequestTotals::Sum SumOf(const Histogram& histogram) {
  const prometheus::ClientMetric::Histogram seen = histogram.Collect().histogram;
  return {seen.sample_count, seen.sample_sum};
}

}  // namespace

Metrics::Metrics(const std::string& version, const std::string& commit) {
  prometheus::Registry& r = registry_;
  requests_ = &Counters(r, "sparsed_requests_total", "Requests that ended, by outcome.");
  rejections_ = &Counters(r, "sparsed_admission_rejections_total",
                          "Requests refused before they were queued, by reason.");
  ready_ = OneGauge(r, "sparsed_ready", "Whether it takes requests, as /readyz says: 1 or 0.");
  certificate_end_ = &Gauges(r, "sparsed_certificate_expiry_timestamp_seconds",
                             "When the certificate of the gRPC port ends, in Unix time.");
  running_ = OneGauge(r, "sparsed_requests_running", "Requests in the batch.");
  waiting_ = OneGauge(r, "sparsed_requests_waiting", "Requests in the queue.");
  waiting_tokens_ = OneGauge(r, "sparsed_queue_tokens", "Tokens of the requests in the queue.");
  drain_seconds_ = OneGauge(r, "sparsed_queue_drain_seconds",
                            "Estimated time until all requests in the queue have started.");
  mask_cache_bytes_ =
      OneGauge(r, "sparsed_mask_cache_bytes",
               "Memory of SparseD's patterns, and of inspections, estimates and budgets.");
  mask_cache_entries_ = OneGauge(r, "sparsed_mask_cache_entries", "Requests that hold patterns.");
  mask_cache_usage_ =
      OneGauge(r, "sparsed_mask_cache_usage_ratio", "sparsed_mask_cache_bytes over its limit.");
  gpu_used_bytes_ =
      &Gauges(r, "sparsed_gpu_memory_used_bytes", "Memory of the GPU that is taken, by whomever.");
  gpu_total_bytes_ = &Gauges(r, "sparsed_gpu_memory_total_bytes", "Memory of the GPU.");
  prompt_tokens_ = OneCounter(r, "sparsed_prompt_tokens_total", "Prompt tokens of done requests.");
  generated_tokens_ =
      OneCounter(r, "sparsed_generated_tokens_total", "Tokens committed by done requests.");
  wasted_steps_ = OneCounter(r, "sparsed_wasted_steps_total",
                             "Steps of requests that were cancelled, expired or failed.");
  slow_clients_ = OneCounter(r, "sparsed_slow_clients_total",
                             "Streams ended because their clients had stopped reading.");
  sat_out_ = OneCounter(r, "sparsed_steps_sat_out_total",
                        "Times that a running request did not take part in a step.");
  queue_seconds_ = OneHistogram(r, "sparsed_request_queue_seconds", "Time that requests waited.",
                                LatencyBuckets());
  inference_seconds_ = OneHistogram(r, "sparsed_request_inference_seconds",
                                    "Time that requests ran.", LatencyBuckets());
  e2e_seconds_ = OneHistogram(r, "sparsed_request_e2e_seconds",
                              "Time from a request's arrival to its end.", LatencyBuckets());
  first_block_seconds_ =
      OneHistogram(r, "sparsed_time_to_first_block_seconds",
                   "Time from a request's arrival to its first text.", LatencyBuckets());
  output_token_seconds_ =
      OneHistogram(r, "sparsed_time_per_output_token_seconds",
                   "Running time of a request over its committed tokens.", StepBuckets());
  batch_size_ = OneHistogram(r, "sparsed_step_batch_size", "Sequences in a step.", CountBuckets());
  committed_tokens_ = OneHistogram(r, "sparsed_step_committed_tokens",
                                   "Tokens committed in a step.", CountBuckets());
  mask_density_ =
      OneHistogram(r, "sparsed_mask_density_ratio",
                   "Share of the key blocks that a request's pattern keeps.", ShareBuckets());
  recall_ = OneHistogram(r, "sparsed_recall_ratio",
                         "Estimated share of the attention that a pattern in use covers.",
                         RecallBuckets());
  below_floor_ = OneCounter(r, "sparsed_recall_below_floor_total",
                            "Estimates below the recall_floor of their requests.");
  Family<Histogram>& steps =
      Histograms(r, "sparsed_step_seconds", "Time of a step, by the dearest attention in it.");
  const char* phases[] = {"full", "select", "sparse"};
  for (int i = 0; i < 3; ++i) step_seconds_[i] = &steps.Add({{"phase", phases[i]}}, StepBuckets());
  prometheus::BuildGauge()
      .Name("sparsed_build_info")
      .Help("Which build this is; always 1.")
      .Register(r)
      .Add({{"version", version}, {"commit", commit}, {"cuda", "none"}})
      .Set(1);
}

void Metrics::RequestDone(const std::string& surface, const std::string& outcome,
                          const RunStats& stats) {
  requests_->Add({{"surface", surface}, {"outcome", outcome}}).Increment();
  {
    const std::lock_guard lock(mu_);
    RequestTotals::Sum& sum = outcome == "ok" ? succeeded_ : failed_;
    ++sum.count;
    sum.seconds += stats.total_seconds;
  }
  if (stats.total_seconds > 0) e2e_seconds_->Observe(stats.total_seconds);
  if (stats.run_seconds <= 0) return;
  queue_seconds_->Observe(stats.queue_seconds);
  inference_seconds_->Observe(stats.run_seconds);
  prompt_tokens_->Increment(stats.prompt_tokens);
  generated_tokens_->Increment(stats.generated_tokens);
  if (stats.generated_tokens > 0) {
    output_token_seconds_->Observe(stats.run_seconds / stats.generated_tokens);
  }
}

void Metrics::Rejected(const std::string& reason) {
  rejections_->Add({{"reason", reason}}).Increment();
}
void Metrics::FirstBlock(double seconds) { first_block_seconds_->Observe(seconds); }

void Metrics::StepDone(engine::StepKind phase, double seconds, int64_t sequences,
                       int64_t committed) {
  step_seconds_[static_cast<int>(phase)]->Observe(seconds);
  batch_size_->Observe(static_cast<double>(sequences));
  committed_tokens_->Observe(static_cast<double>(committed));
}

void Metrics::PatternBuilt(double density) { mask_density_->Observe(density); }
void Metrics::RecallEstimated(double recall, bool below_floor) {
  recall_->Observe(recall);
  if (below_floor) below_floor_->Increment();
}
void Metrics::WastedSteps(int64_t steps) { wasted_steps_->Increment(static_cast<double>(steps)); }
void Metrics::SlowClients(int64_t streams) {
  slow_clients_->Increment(static_cast<double>(streams));
}
void Metrics::SatOut(int64_t sequences) { sat_out_->Increment(static_cast<double>(sequences)); }

void Metrics::SetReady(bool ready) { ready_->Set(ready ? 1 : 0); }

void Metrics::SetCertificateEnd(int64_t seconds) {
  certificate_end_->Add({}).Set(static_cast<double>(seconds));
}

void Metrics::SetWaiting(int64_t requests, int64_t tokens, double drain_seconds) {
  waiting_->Set(static_cast<double>(requests));
  waiting_tokens_->Set(static_cast<double>(tokens));
  drain_seconds_->Set(drain_seconds);
}

void Metrics::SetRunning(int64_t requests, int64_t mask_cache_bytes, int64_t mask_caches) {
  running_->Set(static_cast<double>(requests));
  mask_cache_bytes_->Set(static_cast<double>(mask_cache_bytes));
  mask_cache_entries_->Set(static_cast<double>(mask_caches));
  if (mask_cache_limit_ > 0) {
    mask_cache_usage_->Set(static_cast<double>(mask_cache_bytes) /
                           static_cast<double>(mask_cache_limit_));
  }
}

RequestTotals Metrics::Totals() const {
  RequestTotals totals;
  totals.waited = SumOf(*queue_seconds_);
  totals.ran = SumOf(*inference_seconds_);
  totals.steps = SumOf(*batch_size_).count;
  const std::lock_guard lock(mu_);
  totals.succeeded = succeeded_;
  totals.failed = failed_;
  return totals;
}

void Metrics::SetGpuMemory(const std::string& gpu, uint64_t used_bytes, uint64_t total_bytes) {
  gpu_used_bytes_->Add({{"gpu", gpu}}).Set(static_cast<double>(used_bytes));
  gpu_total_bytes_->Add({{"gpu", gpu}}).Set(static_cast<double>(total_bytes));
}

std::string Metrics::Text() const {
  std::vector<prometheus::MetricFamily> families = registry_.Collect();
  for (prometheus::MetricFamily& family : process_.Collect()) {
    families.push_back(std::move(family));
  }
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace sparsed::server
