#include "server/supervisor.h"

#include <sys/stat.h>

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/tls_files.h"

namespace sparsed::server {
Supervisor::Supervisor(Parts parts)
    : parts_(std::move(parts)),
      token_file_(Look({parts_.config->auth_token_file})),
      tls_files_(
          Look({parts_.config->tls_cert, parts_.config->tls_key, parts_.config->tls_client_ca})),
      last_tick_(parts_.clock()) {
  ReportCertificateEnd();
}

void Supervisor::Tick(Heartbeat* heartbeat) {
  const Config& config = *parts_.config;
  Signature tokens = Look({config.auth_token_file});
  if (tokens != token_file_) {
    token_file_ = std::move(tokens);
    LoadTokens();
  }
  Signature tls = Look({config.tls_cert, config.tls_key, config.tls_client_ca});
  if (tls != tls_files_) {
    tls_files_ = std::move(tls);
    CheckCertificate();
  }
  const TimePoint now = parts_.clock();
  // After a pause of the whole process (SIGSTOP, a suspended machine) neither a step nor a reader
  // has had the time that the clock shows; by the next tick readers have read.
  constexpr auto kPause = 4 * kInterval;
  const bool paused = now - last_tick_ > kPause;
  last_tick_ = now;
  if (paused && heartbeat != nullptr) heartbeat->PauseEnded(now);
  const Duration reader_limit = ToDuration(config.slow_client_seconds);
  const int slow = paused ? 0 : parts_.streams->CheckReaders(now, reader_limit);
  if (slow > 0) {
    parts_.metrics->SlowClients(slow);
    parts_.log->Warning("slow_clients", {{"streams", slow}});
  }
  if (heartbeat != nullptr) CheckHeartbeat(*heartbeat, now);
  parts_.log->ReportSuppressed();
}

void Supervisor::Reload() {
  LoadTokens();
  const CommandLine line = parts_.read_settings();
  if (!line.serve) {
    parts_.log->Warning("settings_not_reloaded", {{"cause", line.output}});
    return;
  }
  parts_.log->SetLevel(line.serve->log_level);
  parts_.log->Info("settings_reloaded", {{"log_level", line.serve->log_level}});
}

Supervisor::Signature Supervisor::Look(const std::vector<std::string>& paths) {
  Signature signature;
  for (const std::string& path : paths) {
    struct stat file = {};
    if (path.empty() || stat(path.c_str(), &file) != 0) {
      signature.emplace_back();
      continue;
    }
    signature.push_back(absl::StrCat(file.st_ino, " ", file.st_size, " ", file.st_mtim.tv_sec, " ",
                                     file.st_mtim.tv_nsec));
  }
  return signature;
}

void Supervisor::LoadTokens() {
  if (parts_.config->auth_token_file.empty()) return;
  const absl::Status loaded = parts_.auth->Load();
  if (loaded.ok()) {
    parts_.log->Info("tokens_loaded", {{"tokens", parts_.auth->tokens()}});
  } else {
    parts_.log->Warning("tokens_not_reloaded", {{"cause", std::string(loaded.message())}});
  }
}

// gRPC itself takes the new files up, and says nothing where they do not fit together.
void Supervisor::CheckCertificate() {
  const Config& config = *parts_.config;
  const absl::Status files = CheckTlsFiles(config.tls_cert, config.tls_key, config.tls_client_ca);
  if (files.ok()) {
    ReportCertificateEnd();
    parts_.log->Info("certificate_changed", {{"file", config.tls_cert}});
  } else {
    parts_.log->Warning("certificate_wrong", {{"cause", std::string(files.message())}});
  }
}

void Supervisor::ReportCertificateEnd() {
  const std::optional<int64_t> end = CertificateEnd(parts_.config->tls_cert);
  if (end) parts_.metrics->SetCertificateEnd(*end);
}

void Supervisor::CheckHeartbeat(const Heartbeat& heartbeat, TimePoint now) {
  const bool stalled = heartbeat.Stalled(now, ToDuration(parts_.config->stall_seconds));
  if (stalled == parts_.state->stalled()) return;
  parts_.state->SetStalled(stalled);
  if (stalled) {
    parts_.log->Error("engine_stalled", {{"seconds", parts_.config->stall_seconds}});
  } else {
    parts_.log->Info("engine_recovered", LogFields::object());
  }
}

}  // namespace sparsed::server
