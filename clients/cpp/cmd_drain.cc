#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "clients/cpp/commands.h"
#include "clients/cpp/errors.h"

namespace sparsed::clients {
namespace {

using std::chrono::milliseconds;

struct DrainFlags {
  int pid = 1;
  double timeout_seconds = 75;
};

// A process that cannot be mistaken for a later one with the same number. By system calls: glibc
// 2.36 declares their functions for C alone. What fails leaves its reason in errno.
class Process {
 public:
  explicit Process(int pid) : descriptor_(static_cast<int>(syscall(SYS_pidfd_open, pid, 0))) {}
  ~Process() {
    if (descriptor_ >= 0) close(descriptor_);
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  bool found() const { return descriptor_ >= 0; }
  bool Terminate() const {
    return syscall(SYS_pidfd_send_signal, descriptor_, SIGTERM, nullptr, 0) == 0;
  }
  // Whether it ended within this time.
  bool WaitForEnd(milliseconds limit) const {
    const auto end = std::chrono::steady_clock::now() + limit;
    pollfd ended = {descriptor_, POLLIN, 0};
    while (true) {
      const auto left = std::chrono::ceil<milliseconds>(end - std::chrono::steady_clock::now());
      const int ready = poll(&ended, 1, static_cast<int>(std::max(left, milliseconds(0)).count()));
      if (ready >= 0 || errno != EINTR) return ready > 0;
    }
  }

 private:
  const int descriptor_;
};

// As ps shows it.
std::string Name(int pid) {
  std::ifstream in(absl::StrCat("/proc/", pid, "/comm"));
  std::string name;
  std::getline(in, name);
  return name;
}

int DrainFailed(int pid, const std::string& what) {
  std::fprintf(stderr, "error: process %d %s\n", pid, what.c_str());
  return kExitFailed;
}

int Drain(const DrainFlags& flags) {
  const Process process(flags.pid);
  if (!process.found())
    return DrainFailed(flags.pid, absl::StrCat("cannot be had: ", strerror(errno)));
  // Outside of a container process 1 is another one.
  const std::string name = Name(flags.pid);
  if (name != "sparsed") {
    return DrainFailed(flags.pid, absl::StrCat("is no sparsed but '", name, "'; use --pid"));
  }
  if (!process.Terminate()) {
    return DrainFailed(flags.pid, absl::StrCat("cannot be stopped: ", strerror(errno)));
  }
  const milliseconds limit(static_cast<int64_t>(flags.timeout_seconds * 1000));
  if (process.WaitForEnd(limit)) return kExitOk;
  return DrainFailed(flags.pid, absl::StrCat("still runs after ", flags.timeout_seconds, " s"));
}

}  // namespace

Command AddDrain(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "drain",
      "Stop a server of this machine or container: as SIGTERM does, it finishes what it has\n"
      "accepted. Returns when it has ended. One that drains already is cut short, as by any "
      "second\n"
      "signal");
  auto flags = std::make_shared<DrainFlags>();
  command->add_option("--pid", flags->pid, "The server's process")
      ->type_name("N")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command
      ->add_option("--timeout-seconds", flags->timeout_seconds,
                   "Patience; then exit status 1, and the server goes on draining")
      ->type_name("X")
      ->check(CLI::Range(0.0, 86400.0))
      ->capture_default_str();
  return {command, [flags](Environment&) { return Drain(*flags); }};
}

}  // namespace sparsed::clients
