#include "server/plan.h"

#include <algorithm>
#include <cstdio>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/report_lines.h"

namespace sparsed::server {
namespace {

// A GPU's packed rows of a request begin at a multiple of this; what is planned fits every device.
constexpr int64_t kRowUnit = 64;

int64_t RowsOf(int64_t tokens) { return (tokens + kRowUnit - 1) / kRowUnit * kRowUnit; }

uint64_t MiBRoundedUp(uint64_t bytes) { return (bytes + (1 << 20) - 1) >> 20; }

// How many requests of each measured length, alone on the device, memory for so many patterns is
// left for.
std::string FitText(const engine::DeviceNeeds& needs, uint64_t memory_bytes) {
  const uint64_t fixed = needs.weights_bytes + needs.workspace_bytes;
  if (fixed > memory_bytes) {
    return absl::StrCat("does not fit: ", SizeText(fixed - memory_bytes), " too little");
  }
  std::vector<std::string> fits;
  for (const auto& [tokens, pattern_bytes] : needs.patterns) {
    uint64_t requests = std::min<uint64_t>(kMostRunning, kMostRunningTokens / RowsOf(tokens));
    if (pattern_bytes > 0) requests = std::min(requests, (memory_bytes - fixed) / pattern_bytes);
    fits.push_back(absl::StrCat(requests, " of ", tokens, " tokens"));
  }
  return absl::StrJoin(fits, ", or ");
}

void AddNeeds(const PlanRequest& wanted, const Config& settings, const engine::DeviceNeeds& needs,
              ReportLines& lines) {
  const std::string on = absl::StrCat("memory on ", DeviceText(needs));
  if (!needs.error.empty()) {
    lines.Add(on, "cannot be served there: ", needs.error);
    return;
  }
  const uint64_t patterns = static_cast<uint64_t>(wanted.requests) * needs.patterns.back().second;
  lines.Add(on, SizeText(needs.weights_bytes + needs.workspace_bytes + patterns), ": weights ",
            SizeText(needs.weights_bytes), ", steps of up to ", settings.max_batch_tokens,
            " tokens ", SizeText(needs.workspace_bytes), ", patterns ", SizeText(patterns));
  if (wanted.memory_mib > 0) {
    lines.Add(absl::StrCat("in ", wanted.memory_mib, " MiB"),
              FitText(needs, static_cast<uint64_t>(wanted.memory_mib) << 20));
  }
}

std::vector<std::string> Problems(const PlanRequest& wanted, const Config& settings,
                                  const engine::ModelReport& report) {
  std::vector<std::string> problems = report.problems;
  if (report.info && wanted.context > report.info->max_tokens) {
    problems.push_back(absl::StrCat("--context ", wanted.context, ": the model's is ",
                                    report.info->max_tokens, " tokens"));
  }
  if (settings.max_running_tokens > kMostRunningTokens) {
    problems.push_back(absl::StrCat("--requests ", wanted.requests, " of ", wanted.context,
                                    " tokens are more than the ", kMostRunningTokens,
                                    " tokens that one server runs at once"));
  }
  return problems;
}

}  // namespace

Config PlanSettings(const PlanRequest& wanted) {
  const int64_t rows = RowsOf(wanted.context);
  Config settings;
  settings.model_dir = wanted.model_dir;
  settings.max_running = wanted.requests;
  settings.max_running_tokens = wanted.requests * rows;
  // As many in a step as by default, and at least one.
  settings.max_batch_tokens =
      std::max(rows, std::min(settings.max_batch_tokens, settings.max_running_tokens));
  return settings;
}

std::string PlanText(const PlanRequest& wanted, const Config& settings,
                     const engine::ModelReport& report) {
  uint64_t pattern_bytes = 0;  // the same on every device that can serve the model
  for (const engine::DeviceNeeds& needs : report.devices) {
    if (needs.error.empty()) pattern_bytes = needs.patterns.back().second;
  }
  const uint64_t patterns_mib =
      MiBRoundedUp(static_cast<uint64_t>(wanted.requests) * pattern_bytes);
  ReportLines lines;
  lines.Add("model", wanted.model_dir, ": ", report.info->family, ", context ",
            report.info->max_tokens, " tokens");
  lines.Add("requests at once", wanted.requests, " of ", wanted.context,
            " tokens, prompt and canvas, with SparseD");
  lines.Add("settings", "--max-running ", settings.max_running, " --max-running-tokens ",
            settings.max_running_tokens, " --max-batch-tokens ", settings.max_batch_tokens,
            " --max-mask-cache-mib ", std::max<uint64_t>(1, patterns_mib));
  lines.Add("host memory beside it", settings.grpc_memory_mib,
            " MiB at most for connections (--grpc-memory-mib)");
  for (const engine::DeviceNeeds& needs : report.devices) {
    AddNeeds(wanted, settings, needs, lines);
  }
  return lines.Text();
}

int Plan(const PlanRequest& wanted) {
  const Config settings = PlanSettings(wanted);
  const engine::ModelReport report = engine::CheckModelFolder(
      wanted.model_dir, {settings.max_batch_tokens, settings.max_running_tokens},
      static_cast<int32_t>(wanted.context));
  const std::vector<std::string> problems = Problems(wanted, settings, report);
  for (const std::string& problem : problems) {
    std::fprintf(stderr, "sparsed: %s\n", problem.c_str());
  }
  if (!problems.empty()) return 2;
  std::fputs(PlanText(wanted, settings, report).c_str(), stdout);
  std::fflush(stdout);
  return 0;
}

}  // namespace sparsed::server
