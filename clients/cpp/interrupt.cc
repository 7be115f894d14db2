#include "clients/cpp/interrupt.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <utility>

#include "clients/cpp/errors.h"
#include "clients/cpp/terminal.h"

namespace sparsed::clients {

Interrupt::Interrupt() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  signals_ = signalfd(-1, &set, SFD_CLOEXEC);
  stop_ = eventfd(0, EFD_CLOEXEC);
  thread_ = std::thread(&Interrupt::Wait, this);
}

Interrupt::~Interrupt() {
  eventfd_write(stop_, 1);
  thread_.join();
  close(signals_);
  close(stop_);
}

void Interrupt::Wait() {
  for (;;) {
    pollfd ready[] = {{signals_, POLLIN, 0}, {stop_, POLLIN, 0}};
    if (poll(ready, 2, -1) < 0) continue;
    if (ready[1].revents != 0) return;
    signalfd_siginfo info;
    if (read(signals_, &info, sizeof info) == static_cast<ssize_t>(sizeof info)) OnSignal();
  }
}

void Interrupt::OnSignal() {
  std::lock_guard lock(mu_);
  if (handler_ != nullptr && !interrupted_) {
    interrupted_ = true;
    handler_();
    return;
  }
  RestoreTerminal();
  // Other threads may be inside calls that nothing can end; destructors would wait for them.
  _exit(kExitInterrupted);
}

Interrupt::Scope::Scope(Interrupt& interrupt, std::function<void()> handler)
    : interrupt_(interrupt) {
  std::lock_guard lock(interrupt_.mu_);
  interrupt_.handler_ = std::move(handler);
  interrupt_.interrupted_ = false;
}

Interrupt::Scope::~Scope() {
  std::lock_guard lock(interrupt_.mu_);
  interrupt_.handler_ = nullptr;
}

bool Interrupt::Scope::interrupted() const {
  std::lock_guard lock(interrupt_.mu_);
  return interrupt_.interrupted_;
}

}  // namespace sparsed::clients
