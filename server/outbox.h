// The events of one stream that are not written yet. However slow the reader, it holds at most one
// event of each kind: newer progress and frames replace older ones, committed text is merged. So
// it is full as soon as it holds text while a write is in flight.
// Next: server/stream.h
#pragma once

#include <optional>

#include "sparsed/v1/generation.pb.h"

namespace sparsed::server {

// Plain data, no locks. Nothing comes out before Accept, and nothing after the final event.
class Outbox {
 public:
  using Event = v1::StreamGenerateResponse;

  void Accept(const v1::Accepted& accepted);
  void Add(const v1::Progress& progress);
  void Add(const v1::Frame& frame);
  void Add(const v1::Block& block);  // the tokens follow those of the block before
  void AddFinal(const v1::GenerateResponse& final_event);

  // The next event to write: accepted, then text, progress, frame, and the final one at last.
  std::optional<v1::StreamGenerateResponse> Next();
  bool final_sent() const { return final_sent_; }
  // Text that will never change, or the end, waits to be written.
  bool holds_committed() const { return block_ || final_; }

 private:
  bool accepted_sent_ = false;
  bool final_sent_ = false;
  std::optional<v1::Accepted> accepted_;
  std::optional<v1::Block> block_;
  std::optional<v1::Progress> progress_;
  std::optional<v1::Frame> frame_;
  std::optional<v1::GenerateResponse> final_;
};

}  // namespace sparsed::server
