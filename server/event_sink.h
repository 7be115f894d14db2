// Where the events of one request go: the engine thread speaks to the client through it.
// Next: server/outbox.h
#pragma once

#include <cstdint>
#include <optional>

#include "engine/inspection.h"
#include "server/errors.h"
#include "sparsed/v1/generation.pb.h"
#include "sparsed/v1/inspection.pb.h"

namespace sparsed::server {

// How a request went, for the access line and the metrics.
struct RunStats {
  double queue_seconds = 0;
  double run_seconds = 0;
  double total_seconds = 0;
  int32_t steps = 0;
  int32_t prompt_tokens = 0;
  int32_t generated_tokens = 0;
};

// Shared by gRPC and the engine, since either may be the last to need it. Nothing here waits for
// the client. After exactly one OnResult or OnFailure nothing more is called.
class EventSink {
 public:
  virtual ~EventSink() = default;

  virtual bool cancelled() const = 0;  // thread-safe
  // The client has stopped reading: the request must end with SlowConsumer. Thread-safe.
  virtual bool too_slow() const { return false; }
  virtual void OnProgress(const v1::Progress& progress) = 0;
  virtual void OnFrame(const v1::Frame& frame) = 0;
  virtual void OnBlock(const v1::Block& block) = 0;
  // The request is an inspection, about to be queued: what OnInspected will bring takes so many
  // bytes at the most. A failure: there is no room for them.
  virtual std::optional<Failure> ExpectInspection(const v1::InspectionStarted& /*started*/,
                                                  int64_t /*bytes*/) {
    return std::nullopt;
  }
  virtual void OnInspected(engine::InspectedStep /*step*/) {}
  virtual void OnResult(const v1::GenerateResponse& result, const RunStats& stats) = 0;
  virtual void OnFailure(const Failure& failure, const RunStats& stats) = 0;
};

}  // namespace sparsed::server
