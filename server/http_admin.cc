#include "server/http_admin.h"

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "engine/status_macros.h"
#include "server/build_info.h"

namespace sparsed::server {
namespace {

constexpr char kJson[] = "application/json";
constexpr char kPrometheusText[] = "text/plain; version=0.0.4; charset=utf-8";
// A connection has a thread for its whole life: as many slow senders are held at a time without
// keeping a probe out. Idle ones cost address space.
constexpr int kThreads = 256;
constexpr HttpLimits kLimits = {
    .head_bytes = 16 << 10,
    .body_bytes = 1 << 10,
    .request_time = std::chrono::seconds(5),
    .idle_time = std::chrono::seconds(1),
    .write_time = std::chrono::seconds(5),
    .requests = 5,
};

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

}  // namespace

absl::StatusOr<std::unique_ptr<HttpServer>> StartHttpAdmin(
    const HostPort& address, const ServerState* state, std::function<std::string()> metrics_text) {
  auto admin = std::make_unique<HttpServer>(kThreads, kLimits);
  HttpServer& server = *admin;
  server.set_payload_max_length(kLimits.body_bytes);

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

  SPARSED_RETURN_IF_ERROR(server.Start(address, "--admin-address"));
  return admin;
}

}  // namespace sparsed::server
