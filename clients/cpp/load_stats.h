// What a load test found. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "clients/cpp/line_chart.h"
#include "clients/cpp/load_schedule.h"

namespace sparsed::clients {

// One request that has ended. Times are seconds from the moment it was meant to be sent, so that a
// sender that falls behind, or a bound on what is in flight, hides nothing.
struct LoadSample {
  size_t kind = 0;
  std::string code = "OK";  // how it ended
  double sent = 0;          // later than meant
  double first_block = -1;  // negative: there was none
  double total = 0;
  double queue = 0;  // in the server, as it says
  uint32_t generated_tokens = 0;
};

// The smallest of the values that at least this share of them do not exceed; 0 of none.
double Percentile(std::vector<double> values, double share);

struct LoadPercentiles {
  double p50 = 0;
  double p90 = 0;
  double p95 = 0;
  double p99 = 0;
  double most = 0;
};

struct LoadSummary {
  std::string kind;  // empty: all kinds
  double offered_rate = 0;
  size_t requests = 0;
  std::map<std::string, size_t> errors;  // by code
  double throughput = 0;                 // requests a second that ended well
  double tokens_per_second = 0;
  // Of those that ended well:
  LoadPercentiles total;
  LoadPercentiles first_block;
  LoadPercentiles queue;
  double latest_sent = 0;  // of all
};

// All kinds together, then each by itself where there are several. seconds: from the first moment
// meant to the last end.
std::vector<LoadSummary> Summarise(const std::vector<LoadSample>& samples,
                                   const std::vector<LoadKind>& mix, double offered_rate,
                                   double seconds);

// A table of several rates, one row for each summary.
std::string RenderLoadTable(const std::vector<LoadSummary>& summaries);
// {"settings": ..., "rates": [...]}; settings: a JSON object as text.
std::string LoadJson(const std::vector<LoadSummary>& summaries, const std::string& settings);
// Latency against offered rate: p50, p95 and p99 of all, or p50 and p99 of each kind.
Chart LoadChart(const std::vector<LoadSummary>& summaries);

}  // namespace sparsed::clients
