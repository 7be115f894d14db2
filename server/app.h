// `sparsed serve` from start to exit.
// Next: server/service.h (a request's way in), server/step_loop.h (the engine thread)
#pragma once

#include <functional>

#include "server/config.h"
#include "server/model_loader.h"

namespace sparsed::server {

// Serves until SIGTERM or SIGINT, then lets accepted requests finish; a second signal ends at once.
// Returns the exit code: 0, or 1 after one log line with the reason. Call it before there are other
// threads: it blocks these signals for the process. read_settings: reads them anew, on SIGHUP.
// make_backend: kernels::CreateBackend, or what a test puts around it.
int Serve(const Config& config, std::function<CommandLine()> read_settings,
          const BackendFactory& make_backend);

}  // namespace sparsed::server
