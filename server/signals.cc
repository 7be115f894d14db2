#include "server/signals.h"

#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

namespace sparsed::server {
namespace {

sigset_t WaitedSignals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGHUP);
  sigaddset(&set, SIGUSR1);
  return set;
}

}  // namespace

void BlockSignals() {
  const sigset_t set = WaitedSignals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

WakeUp WaitForWakeUp(std::optional<Duration> timeout) {
  using std::chrono::nanoseconds;
  const sigset_t set = WaitedSignals();
  const TimePoint start = std::chrono::steady_clock::now();
  while (true) {
    int signal = 0;
    if (timeout) {
      const nanoseconds left = *timeout - (std::chrono::steady_clock::now() - start);
      const int64_t ns = std::max<int64_t>(left.count(), 0);
      const timespec limit = {ns / 1000000000, ns % 1000000000};
      signal = sigtimedwait(&set, nullptr, &limit);
      if (signal < 0 && ns == 0) return WakeUp::kTimeout;
    } else {
      signal = sigwaitinfo(&set, nullptr);
    }
    if (signal == SIGUSR1) return WakeUp::kEngineEnded;
    if (signal == SIGHUP) return WakeUp::kReload;
    if (signal > 0) return WakeUp::kStopSignal;
  }
}

bool StopSignalPending() {
  sigset_t pending;
  sigpending(&pending);
  return sigismember(&pending, SIGTERM) == 1 || sigismember(&pending, SIGINT) == 1;
}

void NotifyEngineEnded() { kill(getpid(), SIGUSR1); }

}  // namespace sparsed::server
