// What the main thread waits for: the signals that stop the server, and the end of the engine
// thread.
#pragma once

#include <optional>

#include "server/clock.h"

namespace sparsed::server {

enum class WakeUp { kStopSignal, kReload, kEngineEnded, kTimeout };

// Blocks SIGTERM, SIGINT, SIGHUP (kReload) and SIGUSR1 in this thread and those it starts.
void BlockSignals();
// Waits in the calling thread; no timeout: for ever.
WakeUp WaitForWakeUp(std::optional<Duration> timeout);
// A stop signal has come and nobody has waited for it yet. It stays.
bool StopSignalPending();
// Wakes the waiting thread with kEngineEnded. Any thread.
void NotifyEngineEnded();

}  // namespace sparsed::server
