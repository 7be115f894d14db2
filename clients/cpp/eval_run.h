// Runs evaluation examples through a server, many at a time.
#pragma once

#include <grpcpp/support/status.h>

#include <chrono>
#include <functional>
#include <vector>

#include "clients/cpp/eval_data.h"
#include "clients/cpp/eval_results.h"
#include "clients/cpp/run_request.h"

namespace sparsed::clients {

// Denoising steps for a canvas.
uint32_t StepsFor(uint32_t gen_length, double steps_per_token);

// The request of an example: greedy, no early stop, as the references were made.
v1::GenerateRequest ToEvalRequest(const EvalExample& example, const EvalSettings& settings);

struct EvalDone {
  EvalRecord record;
  uint32_t generated_tokens = 0;
};

struct EvalRun {
  const std::vector<EvalExample>* examples = nullptr;
  std::vector<size_t> todo;  // indices into examples, run in this order
  EvalSettings settings;
  uint32_t concurrency = 1;
  // Called for every finished example, by one thread at a time.
  std::function<void(EvalDone)> on_done;
  // Called about ten times a second by the calling thread, never beside on_done.
  std::function<void()> on_tick;
};

// Runs to the end, the first error, or Ctrl-C (CANCELLED). A full queue (RESOURCE_EXHAUSTED with
// RetryInfo) is waited for as long as it takes; UNAVAILABLE is tried again a few times. The message
// of an error names the example.
grpc::Status RunEval(Environment& environment, const EvalRun& run);

}  // namespace sparsed::clients
