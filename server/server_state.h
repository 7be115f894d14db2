// Whether the server takes requests, and the model it has loaded. Everything that is asked about
// readiness, over gRPC or HTTP, reads it here.
#pragma once

#include <atomic>
#include <functional>

#include "server/served_model.h"

namespace sparsed::server {

enum class Phase { kLoading, kServing, kDraining, kFailed };

// Thread-safe.
class ServerState {
 public:
  // Called with ready() after every change, by the thread that makes it. Set before any change.
  void OnChange(std::function<void(bool)> listener) { listener_ = std::move(listener); }

  // The model must outlive the server's calls. Once; the phase becomes kServing.
  void SetServing(const ServedModel* model);
  // kDraining or kFailed. From kFailed there is no way back.
  void Stop(Phase phase);

  // Whether the engine thread is stuck in a step. One thread changes it.
  void SetStalled(bool stalled);

  Phase phase() const { return phase_.load(); }
  bool stalled() const { return stalled_.load(); }
  bool ready() const { return phase() == Phase::kServing && !stalled(); }
  const ServedModel* model() const { return model_.load(); }  // null while loading
  static const char* Name(Phase phase);                       // "loading"

 private:
  std::function<void(bool)> listener_;
  std::atomic<Phase> phase_ = Phase::kLoading;
  std::atomic<bool> stalled_ = false;
  std::atomic<const ServedModel*> model_ = nullptr;
};

}  // namespace sparsed::server
