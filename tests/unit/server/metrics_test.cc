#include "server/metrics.h"

#include <cstdio>

#include "tests/testing/catch.h"

namespace sparsed::server {
namespace {

// The value on the line that begins with `name`, as text.
std::string Value(const std::string& text, const std::string& name) {
  const size_t at = ("\n" + text).find("\n" + name + " ");
  if (at == std::string::npos) return "missing";
  const size_t begin = at + name.size() + 1;
  return text.substr(begin, text.find('\n', begin) - begin);
}

RunStats Ran() {
  RunStats stats;
  stats.queue_seconds = 0.2;
  stats.run_seconds = 2;
  stats.total_seconds = 2.2;
  stats.steps = 8;
  stats.prompt_tokens = 10;
  stats.generated_tokens = 64;
  return stats;
}

}  // namespace

TEST_CASE("metrics: counted by outcome, times and tokens only of requests that ran") {
  Metrics metrics("1.2.3", "abc");
  metrics.RequestDone("grpc", "ok", Ran());
  metrics.RequestDone("grpc", "ok", Ran());
  metrics.RequestDone("grpc", "invalid_argument", {});
  metrics.Rejected("queue_full");
  metrics.StepDone(engine::StepKind::kSelect, 0.03, 3, 7);
  metrics.WastedSteps(5);
  metrics.SetRunning(2, 4096, 1);
  metrics.SetWaiting(9, 900, 1.5);
  metrics.SatOut(3);
  metrics.FirstBlock(0.7);
  metrics.PatternBuilt(0.25);
  metrics.RecallEstimated(0.75, true);
  metrics.RecallEstimated(0.97, false);
  CHECK(Value(metrics.Text(), "sparsed_certificate_expiry_timestamp_seconds") == "missing");
  metrics.SetCertificateEnd(1795651200);
  CHECK(Value(metrics.Text(), "sparsed_ready") == "0");
  metrics.SetReady(true);
  const std::string text = metrics.Text();
  CHECK(Value(text, "sparsed_requests_total{outcome=\"ok\",surface=\"grpc\"}") == "2");
  CHECK(Value(text, "sparsed_requests_total{outcome=\"invalid_argument\",surface=\"grpc\"}") ==
        "1");
  CHECK(Value(text, "sparsed_admission_rejections_total{reason=\"queue_full\"}") == "1");
  CHECK(Value(text, "sparsed_request_queue_seconds_count") == "2");
  CHECK(Value(text, "sparsed_request_inference_seconds_sum") == "4");
  CHECK(Value(text, "sparsed_request_e2e_seconds_count") == "2");
  CHECK(Value(text, "sparsed_prompt_tokens_total") == "20");
  CHECK(Value(text, "sparsed_generated_tokens_total") == "128");
  CHECK(Value(text, "sparsed_step_seconds_count{phase=\"select\"}") == "1");
  CHECK(Value(text, "sparsed_step_seconds_count{phase=\"full\"}") == "0");
  CHECK(Value(text, "sparsed_step_batch_size_sum") == "3");
  CHECK(Value(text, "sparsed_step_committed_tokens_sum") == "7");
  CHECK(Value(text, "sparsed_wasted_steps_total") == "5");
  CHECK(Value(text, "sparsed_requests_running") == "2");
  CHECK(Value(text, "sparsed_requests_waiting") == "9");
  CHECK(Value(text, "sparsed_queue_tokens") == "900");
  CHECK(Value(text, "sparsed_queue_drain_seconds") == "1.5");
  CHECK(Value(text, "sparsed_steps_sat_out_total") == "3");
  CHECK(Value(text, "sparsed_mask_cache_bytes") == "4096");
  CHECK(Value(text, "sparsed_mask_cache_entries") == "1");
  CHECK(Value(text, "sparsed_time_to_first_block_seconds_count") == "1");
  CHECK(Value(text, "sparsed_mask_density_ratio_sum") == "0.25");
  CHECK(Value(text, "sparsed_recall_ratio_sum") == "1.72");
  CHECK(Value(text, "sparsed_recall_ratio_bucket{le=\"0.95\"}") == "1");
  CHECK(Value(text, "sparsed_recall_below_floor_total") == "1");
  CHECK(Value(text, "sparsed_mask_density_ratio_bucket{le=\"0.2\"}") == "0");
  CHECK(Value(text, "sparsed_mask_density_ratio_bucket{le=\"0.3\"}") == "1");
  // To the second: a text of few digits would round it to hours.
  CHECK(Value(text, "sparsed_certificate_expiry_timestamp_seconds") == "1795651200");
  CHECK(Value(text, "sparsed_ready") == "1");
  CHECK(text.find("sparsed_build_info{commit=\"abc\",cuda=\"none\",version=\"1.2.3\"} 1") !=
        std::string::npos);
  CHECK(Value(text, "process_resident_memory_bytes") != "missing");
}

TEST_CASE("metrics: totals part success from failure, and waiting from running") {
  Metrics metrics("v", "c");
  metrics.RequestDone("grpc", "ok", Ran());
  metrics.RequestDone("kserve", "ok", Ran());
  metrics.RequestDone("grpc", "cancelled", Ran());
  RunStats refused;
  refused.total_seconds = 0.5;
  metrics.RequestDone("grpc", "resource_exhausted", refused);
  metrics.StepDone(engine::StepKind::kFull, 0.03, 3, 7);
  metrics.StepDone(engine::StepKind::kSparse, 0.03, 2, 7);
  const RequestTotals totals = metrics.Totals();
  CHECK(totals.succeeded.count == 2);
  CHECK(totals.succeeded.seconds == Approx(4.4));
  CHECK(totals.failed.count == 2);
  CHECK(totals.failed.seconds == Approx(2.7));
  CHECK(totals.waited.count == 3);
  CHECK(totals.waited.seconds == Approx(0.6));
  CHECK(totals.ran.count == 3);
  CHECK(totals.ran.seconds == Approx(6));
  CHECK(totals.steps == 2);
}

TEST_CASE("metrics: every family has a help line and a type") {
  const std::string text = Metrics("v", "c").Text();
  size_t families = 0;
  for (size_t at = text.find("# TYPE "); at != std::string::npos;
       at = text.find("# TYPE ", at + 1)) {
    const std::string name = text.substr(at + 7, text.find(' ', at + 7) - at - 7);
    INFO(name);
    CHECK(text.find("# HELP " + name + " ") != std::string::npos);
    ++families;
  }
  CHECK(families >= 20);
}

}  // namespace sparsed::server
