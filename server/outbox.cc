#include "server/outbox.h"

#include <utility>

namespace sparsed::server {
namespace {

template <typename Event>
Event TakeOut(std::optional<Event>& slot) {
  Event event = std::move(*slot);
  slot.reset();
  return event;
}

}  // namespace

void Outbox::Accept(const v1::Accepted& accepted) { accepted_ = accepted; }
void Outbox::Add(const v1::Progress& progress) { progress_ = progress; }
void Outbox::Add(const v1::Frame& frame) { frame_ = frame; }
void Outbox::AddFinal(const v1::GenerateResponse& final_event) { final_ = final_event; }

void Outbox::Add(const v1::Block& block) {
  if (!block_) {
    block_ = block;
    return;
  }
  block_->mutable_text()->append(block.text());
  block_->mutable_token_ids()->MergeFrom(block.token_ids());
}

std::optional<v1::StreamGenerateResponse> Outbox::Next() {
  v1::StreamGenerateResponse event;
  if (!accepted_sent_) {
    if (!accepted_) return std::nullopt;
    accepted_sent_ = true;
    *event.mutable_accepted() = TakeOut(accepted_);
  } else if (block_) {
    *event.mutable_block() = TakeOut(block_);
  } else if (progress_) {
    *event.mutable_progress() = TakeOut(progress_);
  } else if (frame_) {
    *event.mutable_frame() = TakeOut(frame_);
  } else if (final_) {
    final_sent_ = true;
    *event.mutable_final() = TakeOut(final_);
  } else {
    return std::nullopt;
  }
  return event;
}

}  // namespace sparsed::server
