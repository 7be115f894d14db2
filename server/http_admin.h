// The admin port: /metrics, /livez, /readyz, /healthz, /version over HTTP/1.1. Answers without
// touching the device.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/config.h"
#include "server/http_server.h"
#include "server/server_state.h"

namespace sparsed::server {

// Listens until it is destroyed. `state` is borrowed; metrics_text is called by several threads.
// Errors: UNAVAILABLE naming the address.
absl::StatusOr<std::unique_ptr<HttpServer>> StartHttpAdmin(
    const HostPort& address, const ServerState* state, std::function<std::string()> metrics_text);

}  // namespace sparsed::server
