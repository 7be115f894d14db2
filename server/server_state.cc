#include "server/server_state.h"

namespace sparsed::server {

void ServerState::SetServing(const ServedModel* model) {
  model_.store(model);
  Phase loading = Phase::kLoading;
  if (phase_.compare_exchange_strong(loading, Phase::kServing) && listener_) {
    listener_(ready());
  }
}

void ServerState::Stop(Phase phase) {
  Phase before = phase_.load();
  do {
    if (before == phase || before == Phase::kFailed) return;
  } while (!phase_.compare_exchange_weak(before, phase));
  if (listener_) listener_(ready());
}

void ServerState::SetStalled(bool stalled) {
  if (stalled_.exchange(stalled) != stalled && listener_) listener_(ready());
}

const char* ServerState::Name(Phase phase) {
  switch (phase) {
    case Phase::kLoading:
      return "loading";
    case Phase::kServing:
      return "serving";
    case Phase::kDraining:
      return "draining";
    case Phase::kFailed:
      return "failed";
  }
  return "unknown";
}

}  // namespace sparsed::server
