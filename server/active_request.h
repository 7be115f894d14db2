// One running request: the engine's commits become the client's events and, at the end, its result.
// Next: server/event_sink.h
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "engine/engine.h"
#include "engine/tokenizer/text_assembler.h"
#include "engine/tokenizer/tokenizer.h"
#include "server/clock.h"
#include "server/ticket.h"

namespace sparsed::server {

// Used by the engine thread only.
class ActiveRequest {
 public:
  // `tokenizer` and `model` are borrowed for the request's life.
  ActiveRequest(Ticket ticket, engine::SequenceId id, const engine::Tokenizer* tokenizer,
                const engine::ModelInfo* model, TimePoint started);

  const Ticket& ticket() const { return ticket_; }
  engine::SequenceId id() const { return id_; }
  int32_t steps_done() const { return steps_done_; }
  // Nothing that the engine could still do would change the result.
  bool done() const { return done_; }

  // Takes in a step of this request that took `seconds`, and sends its events; what was inspected
  // is moved from.
  void OnStep(engine::SequenceStep& step, const engine::Sequence& sequence, double seconds,
              TimePoint now);
  // Time from arrival to the first text. Once, after the step that gave it.
  std::optional<double> TakeFirstBlockSeconds();

  // Sends the rest of the text and makes the result: the last that needs the sequence.
  void Complete(const engine::Sequence& sequence, TimePoint now);
  // After Complete. Nothing may follow.
  void SendResult();
  // Ends the call with a failure. Nothing may follow.
  void Fail(const Failure& failure, TimePoint now);

 private:
  void SendText(const std::string& text, const engine::Sequence& sequence, TimePoint now);
  void SendProgress(const engine::SequenceStep& step, TimePoint now);
  void SendFrame(const engine::Sequence& sequence);
  v1::GenerateResponse Result(const engine::Sequence& sequence, TimePoint now) const;
  void FillReport(const engine::Sequence& sequence, v1::GenerateResponse* result) const;
  RunStats Stats(TimePoint now) const;

  Ticket ticket_;
  engine::SequenceId id_;
  const engine::Tokenizer* tokenizer_;
  const engine::ModelInfo* model_;
  engine::TextAssembler assembler_;
  TimePoint started_;
  std::string text_;            // given out so far
  int32_t sent_positions_ = 0;  // canvas positions that block events have named
  int32_t steps_done_ = 0;
  int32_t committed_ = 0;
  bool done_ = false;
  double full_seconds_ = 0;
  double select_seconds_ = 0;
  double sparse_seconds_ = 0;
  std::optional<TimePoint> last_progress_;
  bool sent_text_ = false;
  std::optional<double> first_block_seconds_;
  v1::GenerateResponse result_;
  RunStats result_stats_;
};

}  // namespace sparsed::server
