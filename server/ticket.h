// A validated request on its way from the call to the engine.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/request.h"
#include "engine/tokenizer/text_assembler.h"
#include "server/clock.h"
#include "server/event_sink.h"
#include "server/step_work.h"

namespace sparsed::server {

// What validation makes of a GenerateRequest.
struct ValidRequest {
  engine::Request request;
  engine::TextAssembler::Options text_options;
  std::vector<engine::TemplatePart> parts;  // as the assembler takes them
  bool infill = false;
  bool token_confidences = false;
  int32_t priority = 0;

  int32_t prompt_tokens() const {
    return static_cast<int32_t>(request.ids.size() - request.canvas.size());
  }
  int32_t canvas_tokens() const { return static_cast<int32_t>(request.canvas.size()); }
};

struct Ticket {
  uint64_t number = 0;  // given by the queue, in order of arrival
  std::string request_id;
  std::string trace_id;
  std::string span_id;
  std::string model;
  ValidRequest valid;
  engine::Reservation need;
  RequestWork work;
  double least_seconds = 0;  // it cannot run in less; 0: not known
  bool wants_frames = false;
  bool wants_progress = false;
  TimePoint arrival;
  TimePoint deadline;
  std::shared_ptr<EventSink> sink;
};

}  // namespace sparsed::server
