// Sends a schedule of requests to a server, whatever the answers take.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "clients/cpp/load_schedule.h"
#include "clients/cpp/load_stats.h"
#include "clients/cpp/run_request.h"

namespace sparsed::clients {

struct LoadProgress {
  double seconds = 0;  // since the start
  size_t sent = 0;
  size_t in_flight = 0;
  size_t failed = 0;
};

struct LoadRun {
  std::vector<LoadArrival> schedule;
  // Of each kind; their arrival decides which.
  std::vector<v1::GenerateRequest> requests;
  size_t max_in_flight = 256;
  double deadline_seconds = 120;  // of each request, from when it is sent
  // Called about ten times a second by the calling thread, with the samples so far.
  std::function<void(const LoadProgress&, const std::vector<LoadSample>&)> on_tick;
};

struct LoadResult {
  std::vector<LoadSample> samples;  // in the order of their ends
  double seconds = 0;               // until the last end
  bool interrupted = false;         // Ctrl-C: what was in flight was cancelled
};

// An arrival that finds max_in_flight requests under way is sent as soon as one of them ends.
// Nothing is sent twice, unless the connection retries.
LoadResult RunLoad(Environment& environment, const LoadRun& run);

}  // namespace sparsed::clients
