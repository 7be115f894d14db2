// What the main thread looks after while the server serves: tokens and certificates that change on
// disk, clients that have stopped reading, whether the engine thread still gets anywhere, and what
// the log has left out.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "server/auth.h"
#include "server/clock.h"
#include "server/config.h"
#include "server/heartbeat.h"
#include "server/log.h"
#include "server/metrics.h"
#include "server/open_streams.h"
#include "server/server_state.h"

namespace sparsed::server {

// Used by one thread.
class Supervisor {
 public:
  // All borrowed for the supervisor's life.
  struct Parts {
    const Config* config = nullptr;
    std::function<CommandLine()> read_settings;  // anew
    Log* log = nullptr;
    Metrics* metrics = nullptr;
    Auth* auth = nullptr;
    OpenStreams* streams = nullptr;
    ServerState* state = nullptr;
    Clock clock;
  };
  explicit Supervisor(Parts parts);

  static constexpr std::chrono::milliseconds kInterval{500};
  // Every kInterval. heartbeat: of the engine thread; null while there is none.
  void Tick(Heartbeat* heartbeat);
  // On SIGHUP: the tokens and the log level.
  void Reload();

 private:
  using Signature = std::vector<std::string>;  // of files: changes when they do

  static Signature Look(const std::vector<std::string>& paths);
  void LoadTokens();
  void CheckCertificate();
  void ReportCertificateEnd();
  void CheckHeartbeat(const Heartbeat& heartbeat, TimePoint now);

  Parts parts_;
  Signature token_file_;
  Signature tls_files_;
  TimePoint last_tick_;  // or when there was none yet, the start
};

}  // namespace sparsed::server
