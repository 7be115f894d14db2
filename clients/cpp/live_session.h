// Draws a running generation on a terminal.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>

#include "clients/cpp/live_view.h"
#include "clients/cpp/terminal.h"
#include "sparsed/v1/generation.pb.h"

namespace sparsed::clients {

// Redraws at most 25 times a second, from a thread of its own, so that the clock runs and
// highlights fade while a step is computed and a fast server is not slowed down by the terminal.
// Threads: OnEvent and Stop from one thread.
class LiveSession {
 public:
  // `fd` is a live terminal. `mask_id` is the model's mask token.
  LiveSession(int fd, bool color, uint32_t mask_id);
  ~LiveSession();
  LiveSession(const LiveSession&) = delete;
  LiveSession& operator=(const LiveSession&) = delete;

  void OnEvent(const v1::StreamGenerateResponse& event);

  // Stops drawing, clears what was drawn and returns what was known last.
  LiveState Stop();

 private:
  void Draw();

  const int fd_;
  const bool color_;
  std::mutex mu_;
  std::condition_variable stopping_cv_;
  bool stopping_ = false;  // guarded by mu_
  LiveState state_;        // guarded by mu_
  std::thread thread_;
};

}  // namespace sparsed::clients
