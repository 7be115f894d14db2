// From a parsed request to a place in the queue, whichever surface it came by.
// Next: server/validate.h, server/queue.h
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "server/access_log.h"
#include "server/clock.h"
#include "server/queue.h"
#include "server/server_state.h"
#include "server/step_costs.h"
#include "sparsed/v1/generation.pb.h"
#include "sparsed/v1/inspection.pb.h"

namespace sparsed::server {

// Thread-safe; never waits.
class Submitter {
 public:
  // All borrowed for the submitter's life.
  struct Parts {
    const ServerState* state = nullptr;
    RequestQueue* queue = nullptr;
    const AccessLog* access = nullptr;
    Clock clock;
    std::function<uint64_t()> random;  // for seeds; thread-safe
    const StepCosts* costs = nullptr;
    Duration max_request_time{};
  };
  explicit Submitter(Parts parts) : parts_(std::move(parts)) {}

  // The call's fate so far; its ids are those of `info`.
  struct Call {
    const CallInfo& info;
    std::chrono::system_clock::time_point deadline;
    std::shared_ptr<EventSink> sink;
    const v1::InspectRequest* inspect = nullptr;  // what to inspect; its own request does not count
  };
  // Queues the request and returns what to tell the client; or, where `failure` is set or something
  // is wrong with the request, ends the call through its sink and returns nothing.
  std::optional<v1::Accepted> Submit(const v1::StreamGenerateRequest& request,
                                     std::optional<Failure> failure, const Call& call) const;

 private:
  // The last stage before the queue: everything of the ticket but its ids and its sink.
  std::optional<Failure> MakeTicket(const v1::GenerateRequest& request, TimePoint arrival,
                                    const Call& call, Ticket* ticket) const;

  Parts parts_;
};

}  // namespace sparsed::server
