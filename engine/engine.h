// A batch of sequences, one denoising step at a time.
// Next: engine/step_scheduler.h (full, full+select or sparse), models/llada.h (the forward pass),
// sampler.h (which rows are committed).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/model.h"
#include "engine/request.h"
#include "engine/sequence.h"
#include "kernels/backend.h"

namespace sparsed::engine {

using SequenceId = uint64_t;

struct EngineOptions {
  int64_t max_batch_tokens =
      16384;  // packed rows of one step; both passes of a guided sequence count
};

// What a request will cost, known before it starts.
struct Reservation {
  int64_t batch_tokens = 0;      // packed rows it takes in every step
  int64_t mask_cache_bytes = 0;  // 0 where it runs in full attention throughout
};

// One token committed in a step.
struct Commit {
  int32_t canvas_index = 0;  // 0..G-1
  int32_t token = 0;
  float confidence = 0;
};

struct SequenceStep {
  SequenceId id = 0;
  StepKind kind = StepKind::kFull;
  int32_t step = 0;             // 0-based number of the step just done, of T
  std::vector<Commit> commits;  // most confident first
  bool block_finished = false;  // a decoding block of the canvas ended with this step
  bool finished = false;        // nothing more to do; the sequence still holds its memory
  absl::Status error;           // not OK: this sequence failed (NaN logits); it must be removed
};

// Owns the backend, the model, the workspace and the sequences. Not thread-safe: one thread drives
// it.
class Engine {
 public:
  // Allocates the workspace for options.max_batch_tokens. Errors: RESOURCE_EXHAUSTED.
  static absl::StatusOr<std::unique_ptr<Engine>> Create(std::unique_ptr<kernels::Backend> backend,
                                                        std::unique_ptr<Model> model,
                                                        const EngineOptions& options);

  const ModelInfo& model_info() const;
  kernels::BackendInfo backend_info() const;
  const EngineOptions& options() const;

  // Pure; thread-safe. The request must have passed CheckRequest.
  Reservation Estimate(const Request& request) const;

  // Takes the request into the batch of the next step and reserves all the memory it will ever
  // need. Errors: INVALID_ARGUMENT (CheckRequest), RESOURCE_EXHAUSTED (does not fit now). On error
  // nothing changes.
  absl::StatusOr<SequenceId> Start(const Request& request);
  // Frees everything the sequence holds. Allowed between any two steps.
  void Remove(SequenceId id);

  // One denoising step of every unfinished sequence, in the order of their start. Empty if there is
  // none. Errors: INTERNAL (the device failed: the engine cannot go on).
  absl::StatusOr<std::vector<SequenceStep>> Step();

  const Sequence* Find(SequenceId id) const;  // borrowed until Remove; null if unknown
  int64_t running() const;                    // sequences held, finished ones included
  int64_t batch_tokens() const;               // packed rows reserved by them
  int64_t mask_cache_bytes() const;           // held by all sequences
  const StepTimes& last_step_times() const;
};

}  // namespace sparsed::engine
