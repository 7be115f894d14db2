#include "server/http_admin.h"

#include <httplib.h>

#include <atomic>
#include <chrono>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "server/build_info.h"

namespace sparsed::server {
namespace {

constexpr char kJson[] = "application/json";
constexpr char kPrometheusText[] = "text/plain; version=0.0.4; charset=utf-8";
// A connection has a thread for its whole life: as many slow senders are held at a time without
// keeping a probe out. Idle ones cost address space.
constexpr int kThreads = 256;
constexpr int kTimeoutSeconds = 5;  // of one read or write

void Answer(httplib::Response& response, int status, const nlohmann::ordered_json& body) {
  response.status = status;
  response.set_content(body.dump() + "\n", kJson);
}

void AnswerReady(const ServerState& state, bool verbose, httplib::Response& response) {
  const Phase phase = state.phase();
  const bool stalled = state.stalled();
  const bool ready = phase == Phase::kServing && !stalled;
  nlohmann::ordered_json body = {{"ready", ready}};
  std::vector<std::string> reasons;
  if (phase != Phase::kServing) reasons.emplace_back(ServerState::Name(phase));
  if (stalled) reasons.emplace_back("stalled");
  if (!ready) body["reasons"] = reasons;
  if (verbose) {
    body["checks"] = {{"phase", ServerState::Name(phase)},
                      {"model_loaded", state.model() != nullptr},
                      {"engine", stalled ? "stalled" : "ok"}};
  }
  Answer(response, ready ? 200 : 503, body);
}

void AnswerLive(const ServerState& state, httplib::Response& response) {
  const bool live = state.phase() != Phase::kFailed && !state.stalled();
  Answer(response, live ? 200 : 503, {{"live", live}});
}

// The library's default shares a port that is taken, in silence.
void SetSocketOptions(socket_t socket) {
  const int yes = 1;
  setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
}

}  // namespace

struct HttpAdmin::Listener {
  httplib::Server server;
  std::atomic<bool> ended = false;
};

HttpAdmin::HttpAdmin() : listener_(std::make_unique<Listener>()) {}

absl::StatusOr<std::unique_ptr<HttpAdmin>> HttpAdmin::Start(
    const HostPort& address, const ServerState* state, std::function<std::string()> metrics_text) {
  std::unique_ptr<HttpAdmin> admin(new HttpAdmin());
  httplib::Server& server = admin->listener_->server;
  server.new_task_queue = [] { return new httplib::ThreadPool(kThreads); };
  server.set_socket_options(SetSocketOptions);
  server.set_keep_alive_timeout(1);
  server.set_read_timeout(kTimeoutSeconds);
  server.set_write_timeout(kTimeoutSeconds);
  server.set_payload_max_length(1024);

  using Req = httplib::Request;
  using Res = httplib::Response;
  server.Get("/metrics", [metrics_text = std::move(metrics_text)](const Req&, Res& response) {
    response.set_content(metrics_text(), kPrometheusText);
  });
  const auto ready = [state](const Req& request, Res& response) {
    AnswerReady(*state, request.has_param("verbose"), response);
  };
  server.Get("/readyz", ready);
  server.Get("/healthz", ready);
  server.Get("/livez", [state](const Req&, Res& response) { AnswerLive(*state, response); });
  server.Get("/version", [](const Req&, Res& response) {
    Answer(response, 200, {{"version", Version()}, {"commit", Commit()}});
  });

  const std::string& host = address.host;
  admin->port_ = address.port == 0 ? server.bind_to_any_port(host.c_str())
                 : server.bind_to_port(host.c_str(), address.port) ? address.port
                                                                   : -1;
  if (admin->port_ <= 0) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen on ", host, ":", address.port, " (--admin-address)"));
  }
  admin->thread_ = std::thread([listener = admin->listener_.get()] {
    listener->server.listen_after_bind();
    listener->ended = true;
  });
  // The library's stop() does nothing before its loop has begun.
  while (!server.is_running() && !admin->listener_->ended) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return admin;
}

HttpAdmin::~HttpAdmin() {
  if (!thread_.joinable()) return;
  listener_->server.stop();
  thread_.join();
}

}  // namespace sparsed::server
