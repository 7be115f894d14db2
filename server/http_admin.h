// The admin port: /metrics, /livez, /readyz, /healthz, /version over HTTP/1.1. Answers without
// touching the device.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "server/config.h"
#include "server/server_state.h"

namespace sparsed::server {

class HttpAdmin {
 public:
  // Listens on its own thread until destroyed. `state` is borrowed; metrics_text is called by
  // several threads. Errors: UNAVAILABLE naming the address.
  static absl::StatusOr<std::unique_ptr<HttpAdmin>> Start(
      const HostPort& address, const ServerState* state, std::function<std::string()> metrics_text);
  ~HttpAdmin();

  int port() const { return port_; }

 private:
  struct Listener;
  HttpAdmin();

  std::unique_ptr<Listener> listener_;
  int port_ = 0;
  std::thread thread_;
};

}  // namespace sparsed::server
