// What is written down of every call: one access line, and for generations the metrics.
#pragma once

#include <string>

#include "server/caller.h"
#include "server/clock.h"
#include "server/errors.h"
#include "server/event_sink.h"
#include "server/log.h"
#include "server/metrics.h"

namespace sparsed::server {

struct CallInfo {
  std::string surface = "grpc";
  std::string method;
  std::string peer;
  std::string request_id;
  std::string trace_id;        // 32 hexadecimal digits
  std::string span_id;         // 16: of this call
  std::string parent_span_id;  // of the caller; empty if it named none
  std::string trace_state;     // as the caller sent it
  Caller caller;
  bool generation = false;  // counts in the metrics of requests
};

// Thread-safe.
class AccessLog {
 public:
  AccessLog(const Log* log, Metrics* metrics) : log_(log), metrics_(metrics) {}

  // failure: null where the call succeeded. Once for each call, when it is decided how it ends.
  void Write(const CallInfo& call, const Failure* failure, const RunStats& stats) const;
  // Besides Write, for calls that were refused before they were queued.
  void CountRejection(const Failure& failure) const { metrics_->Rejected(failure.reason); }

 private:
  const Log* log_;
  Metrics* metrics_;
};

}  // namespace sparsed::server
