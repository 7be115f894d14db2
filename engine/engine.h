// A batch of sequences, one denoising step at a time.
// Next: engine/step_scheduler.h (full, full+select or sparse), models/transformer.h (the forward
// pass), sampler.h (which rows are committed).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/model.h"
#include "engine/request.h"
#include "engine/sampler.h"
#include "engine/sequence.h"
#include "engine/step_batch.h"
#include "engine/workspace.h"
#include "kernels/backend.h"

namespace sparsed::engine {

struct EngineOptions {
  int64_t max_batch_tokens =
      16384;  // packed rows of one step; both passes of a guided sequence count
  // Packed rows of all sequences held; they need not all take part in a step. 0: as many as in one
  // step.
  int64_t max_running_tokens = 0;
  bool time_parts = false;  // StepTimes::part_seconds are measured; it costs a little time
};

// What a request will cost, known before it starts.
struct Reservation {
  int64_t batch_tokens = 0;  // packed rows it takes in every step
  // Of its own pattern, unless it runs in full attention throughout, and of what looks into it: an
  // inspection, estimates of the recall, measures of the heads' mass.
  int64_t mask_cache_bytes = 0;
  int64_t inspection_bytes = 0;  // in the host's memory, of what Step returns of an inspection
};

struct SequenceStep {
  SequenceId id = 0;
  StepKind kind = StepKind::kFull;
  int32_t step = 0;              // 0-based number of the step just done, of T
  std::vector<Commit> commits;   // most confident first
  bool block_finished = false;   // a decoding block of the canvas ended with this step
  bool finished = false;         // nothing more to do; the sequence still holds its memory
  InspectedStep inspected;       // without heads unless this step was inspected
  std::optional<double> recall;  // of the pattern in use, where this step estimated it
  absl::Status error;            // not OK: this sequence failed (NaN logits); it must be removed
};

// Owns the backend, the model, the workspace and the sequences. Not thread-safe: one thread drives
// it.
class Engine {
 public:
  // Allocates the workspace for options.max_batch_tokens. Errors: RESOURCE_EXHAUSTED.
  static absl::StatusOr<std::unique_ptr<Engine>> Create(std::unique_ptr<kernels::Backend> backend,
                                                        std::unique_ptr<Model> model,
                                                        const EngineOptions& options);

  const ModelInfo& model_info() const { return model_->info(); }
  kernels::BackendInfo backend_info() const { return backend_->Info(); }
  const EngineOptions& options() const { return options_; }

  // Pure; thread-safe. The request must have passed CheckRequest.
  Reservation Estimate(const Request& request) const;

  // Takes the request in for the next step and reserves all the memory it will ever need.
  // Errors: INVALID_ARGUMENT (CheckRequest), RESOURCE_EXHAUSTED (does not fit now, or not into a
  // step). On error nothing changes.
  absl::StatusOr<SequenceId> Start(const Request& request);
  // Frees everything the sequence holds. Allowed between any two steps.
  void Remove(SequenceId id);

  // One denoising step of the unfinished sequences among `chosen` (ascending; empty: of all), in
  // the order of their start. Empty if there is none. Which sequences step together changes nothing
  // in what they generate. Errors: INTERNAL (the device failed: the engine cannot go on).
  // INVALID_ARGUMENT: more than max_batch_tokens rows; nothing has changed.
  absl::StatusOr<std::vector<SequenceStep>> Step(std::span<const SequenceId> chosen = {});

  const Sequence* Find(SequenceId id) const;  // borrowed until Remove; null if unknown
  // Sequences held, finished ones included.
  int64_t running() const { return static_cast<int64_t>(sequences_.size()); }
  int64_t batch_tokens() const { return batch_tokens_; }  // packed rows reserved by them
  // Held by all sequences, inspections included.
  int64_t mask_cache_bytes() const { return mask_cache_bytes_; }
  const StepTimes& last_step_times() const { return workspace_.times; }

  // For tests: puts other ids (G of them) on the canvas between two steps, and goes on with the
  // step `next_step`, which may have been done, of a request without a confidence threshold. The
  // pattern stays.
  void SetCanvasForTest(SequenceId id, std::span<const int32_t> canvas_ids, int32_t next_step);

 private:
  // The step's small inputs and results on the device, one buffer each, so that a step has one copy
  // in and one copy out. Their layout follows the step's batch.
  struct StepBuffers {
    kernels::Buffer inputs;
    kernels::Buffer results;
  };
  // Where the parts of the results are, in bytes.
  struct ResultLayout {
    size_t kept_tiles = 0;  // int64, of each entry that selects
    size_t tokens = 0;      // int32, of each sample
    size_t confidences = 0;
    size_t log_probabilities = 0;  // as many, where one of them has a target
    size_t chosen = 0;             // sample indices, entry by entry
    size_t bytes = 0;
  };
  // What the device decided, on the host.
  struct StepResults {
    std::vector<char> bytes;
    const int64_t* kept_tiles = nullptr;
    const int32_t* tokens = nullptr;
    const float* confidences = nullptr;
    const float* log_probabilities = nullptr;  // null where no sample has a target
    const int32_t* chosen = nullptr;
  };

  Engine(std::unique_ptr<kernels::Backend> backend, std::unique_ptr<Model> model,
         const EngineOptions& options);
  absl::Status Allocate();

  absl::Status RunStep();
  absl::Status Upload(PackedBatch& packed);
  absl::Status UploadHeadCounts();
  absl::Status Sample();
  absl::Status CountKeptTiles();
  absl::Status Download();
  absl::Status ReadInspections();
  absl::Status ReadRecalls();
  absl::Status ReadPatterns();
  absl::Status ReadBudgets();
  void SetDensities();
  SequenceStep Advance(size_t index);
  bool HasNan(const BatchEntry& entry) const;
  std::vector<int32_t> SureSamples(const BatchEntry& entry) const;
  void ApplyChosen(const BatchEntry& entry, SequenceStep& step);

  std::unique_ptr<kernels::Backend> backend_;  // first: everything below lives in its memory
  std::unique_ptr<Model> model_;
  const EngineOptions options_;
  const int32_t row_alignment_;
  const bool splits_keys_;
  Workspace workspace_;
  StepBuffers buffers_;
  StepBatch batch_;
  std::vector<int32_t> inputs_;  // of the step, as they are copied
  ResultLayout layout_;
  StepResults results_;
  // Of the step, one for each entry.
  std::vector<InspectedStep> inspected_;
  std::vector<std::optional<double>> recalls_;
  std::vector<std::vector<uint64_t>> patterns_;
  std::vector<std::vector<HeadCounts>> measured_;
  std::map<SequenceId, Sequence> sequences_;
  SequenceId next_id_ = 1;
  int64_t batch_tokens_ = 0;
  int64_t mask_cache_bytes_ = 0;
};

}  // namespace sparsed::engine
