#include "server/http_admin.h"

#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "server/build_info.h"

namespace sparsed::server {
namespace {

using Json = nlohmann::ordered_json;

constexpr char kPrometheusText[] = "text/plain; version=0.0.4; charset=utf-8";

HttpPage JsonPage(int status, const Json& body) {
  return {status, "application/json", body.dump() + "\n"};
}

HttpPage Ready(const ServerState& state, bool verbose) {
  const Phase phase = state.phase();
  const bool stalled = state.stalled();
  const bool ready = phase == Phase::kServing && !stalled;
  Json body = {{"ready", ready}};
  std::vector<std::string> reasons;
  if (phase != Phase::kServing) reasons.emplace_back(ServerState::Name(phase));
  if (stalled) reasons.emplace_back("stalled");
  if (!ready) body["reasons"] = reasons;
  if (verbose) {
    body["checks"] = {{"phase", ServerState::Name(phase)},
                      {"model_loaded", state.model() != nullptr},
                      {"engine", stalled ? "stalled" : "ok"}};
  }
  return JsonPage(ready ? 200 : 503, body);
}

HttpPage Live(const ServerState& state) {
  const bool live = state.phase() != Phase::kFailed && !state.stalled();
  return JsonPage(live ? 200 : 503, {{"live", live}});
}

bool HasKey(const std::string& query, const std::string& key) {
  for (const absl::string_view part : absl::StrSplit(query, '&')) {
    if (part.substr(0, part.find('=')) == key) return true;
  }
  return false;
}

}  // namespace

absl::StatusOr<std::unique_ptr<HttpListener>> StartHttpAdmin(
    const HostPort& address, const ServerState* state, std::function<std::string()> metrics_text) {
  auto listener = HttpListener::Start(
      address,
      [state, metrics_text = std::move(metrics_text)](const std::string& path,
                                                      const std::string& query) -> HttpPage {
        if (path == "/metrics") return {200, kPrometheusText, metrics_text()};
        if (path == "/livez") return Live(*state);
        if (path == "/readyz" || path == "/healthz") return Ready(*state, HasKey(query, "verbose"));
        if (path == "/version") {
          return JsonPage(200, {{"version", Version()}, {"commit", Commit()}});
        }
        return JsonPage(404, {{"error", "no such page"}});
      },
      HttpLimits());
  if (listener.ok()) return listener;
  return absl::UnavailableError(absl::StrCat(listener.status().message(), " (--admin-address)"));
}

}  // namespace sparsed::server
