// The events of one inspection that are not written yet, and the room in memory that they have.
// Next: server/stream.h
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <optional>
#include <utility>

#include "engine/inspection.h"
#include "server/errors.h"
#include "sparsed/v1/inspection.pb.h"

namespace sparsed::server {

// Memory for what inspections return. A request takes its share before it is queued and has it
// until its call is over, so that clients who read slowly hold no more than the limit. Thread-safe.
class InspectionBudget {
 public:
  explicit InspectionBudget(int64_t limit) : limit_(limit) {}

  // Given back by its destructor.
  class Share {
   public:
    Share(InspectionBudget* budget, int64_t bytes) : budget_(budget), bytes_(bytes) {}
    Share(Share&& other) noexcept
        : budget_(std::exchange(other.budget_, nullptr)), bytes_(other.bytes_) {}
    Share& operator=(Share&& other) noexcept {
      std::swap(budget_, other.budget_);
      std::swap(bytes_, other.bytes_);
      return *this;
    }
    ~Share() {
      if (budget_ != nullptr) budget_->used_ -= bytes_;
    }

   private:
    InspectionBudget* budget_;
    int64_t bytes_;
  };
  // Failures: NeverFits, InspectionsFull.
  std::optional<Failure> Take(int64_t bytes, std::optional<Share>* share);
  int64_t used() const { return used_.load(); }

 private:
  const int64_t limit_;
  std::atomic<int64_t> used_ = 0;
};

// What server/outbox.h is to a streamed generation; of that one's events it has accepted and final.
class InspectionOutbox {
 public:
  using Event = v1::InspectResponse;

  // `budget` is borrowed for its life. `copies`: what a call holds of an event while it is written,
  // beside the event itself, in the JSON of a head's importances.
  explicit InspectionOutbox(InspectionBudget* budget, int copies = 0)
      : budget_(budget), copies_(copies) {}

  // Makes room. What the first event will say. Failures: as the budget's.
  std::optional<Failure> Expect(const v1::InspectionStarted& started, int64_t bytes);
  void Accept(const v1::Accepted& accepted);
  void Add(const v1::Progress&) {}
  void Add(const v1::Frame&) {}
  void Add(const v1::Block&) {}
  void Add(engine::InspectedStep step);
  void AddFinal(const v1::GenerateResponse& final_event);

  // The next event to write: started, the heads in their order, the final one at last.
  std::optional<v1::InspectResponse> Next();
  bool final_sent() const { return final_sent_; }
  bool holds_committed() const { return !steps_.empty() || final_; }

 private:
  InspectionBudget* budget_;
  int copies_;
  std::optional<InspectionBudget::Share> share_;
  v1::InspectionStarted started_;
  bool accepted_ = false;
  bool started_sent_ = false;
  bool final_sent_ = false;
  std::deque<engine::InspectedStep> steps_;
  size_t next_head_ = 0;  // of the first of them
  double recall_sum_ = 0;
  int64_t recalls_ = 0;
  std::optional<v1::GenerateResponse> final_;
};

}  // namespace sparsed::server
