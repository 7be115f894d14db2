#include "clients/cpp/live_session.h"

#include <chrono>

namespace sparsed::clients {
namespace {

constexpr std::chrono::milliseconds kFrameTime(40);

double SecondsNow() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

LiveSession::LiveSession(int fd, bool color, uint32_t mask_id) : fd_(fd), color_(color) {
  state_.mask_id = mask_id;
  state_.asked_at = SecondsNow();
  thread_ = std::thread(&LiveSession::Draw, this);
}

LiveSession::~LiveSession() { Stop(); }

void LiveSession::OnEvent(const v1::StreamGenerateResponse& event) {
  std::lock_guard lock(mu_);
  Apply(event, SecondsNow(), &state_);
}

LiveState LiveSession::Stop() {
  {
    std::lock_guard lock(mu_);
    stopping_ = true;
  }
  stopping_cv_.notify_all();
  if (thread_.joinable()) thread_.join();
  return state_;
}

void LiveSession::Draw() {
  LiveLines lines(fd_);
  std::unique_lock lock(mu_);
  while (!stopping_cv_.wait_for(lock, kFrameTime, [this] { return stopping_; })) {
    const LiveState state = state_;
    lock.unlock();
    lines.Draw(RenderLive(state, SizeOf(fd_), color_, SecondsNow()));
    lock.lock();
  }
}

}  // namespace sparsed::clients
