#include "server/app.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "engine/status_macros.h"
#include "server/access_log.h"
#include "server/auth.h"
#include "server/build_info.h"
#include "server/entry.h"
#include "server/grpc_messages.h"
#include "server/grpc_server.h"
#include "server/health_service.h"
#include "server/http_admin.h"
#include "server/http_openai.h"
#include "server/inspection_service.h"
#include "server/kserve_service.h"
#include "server/log.h"
#include "server/metrics.h"
#include "server/model_loader.h"
#include "server/model_service.h"
#include "server/open_streams.h"
#include "server/queue.h"
#include "server/server_state.h"
#include "server/service.h"
#include "server/signals.h"
#include "server/step_loop.h"
#include "server/supervisor.h"

namespace sparsed::server {
namespace {

// What was finished but is not yet on the wire gets this long, and so does a client that does not
// answer the ping of a graceful GOAWAY, as one without open calls may not.
constexpr std::chrono::seconds kShutdownGrace(1);

uint64_t RandomBits() {
  std::random_device device;
  return static_cast<uint64_t>(device()) << 32 | device();
}

// What grpc.health.v1 knows.
std::set<std::string> HealthNames(const Config& config) {
  std::set<std::string> names = {
      "", v1::GenerationService::service_full_name(), v1::ModelService::service_full_name(),
      inference::GRPCInferenceService::service_full_name(), "model/" + config.model_name};
  if (config.enable_inspection) names.insert(v1::InspectionService::service_full_name());
  return names;
}

// Owns all parts; each borrows from those above it.
class App {
 public:
  App(const Config& config, std::function<CommandLine()> read_settings,
      const BackendFactory& make_backend, Log* log)
      : config_(config),
        make_backend_(make_backend),
        log_(log),
        grpc_messages_(log),
        metrics_(Version(), Commit()),
        access_(log, &metrics_),
        auth_(config.auth_token_file),
        entry_(&auth_, RandomBits, config.model_name),
        queue_(config.queue_requests, config.queue_tokens, &costs_),
        health_(HealthNames(config)),
        submitter_(SubmitterParts()),
        inspection_budget_(config.max_inspection_bytes()),
        generation_(GenerationParts()),
        inspection_({&submitter_, &access_, &entry_, &open_streams_, &inspection_budget_}),
        kserve_(KserveParts()),
        models_(ModelParts()),
        openai_(OpenAiParts()),
        supervisor_(SupervisorParts(std::move(read_settings))) {
    state_.OnChange([this](bool ready) { health_.SetServing(ready); });
  }
  ~App();

  // Until a signal; OK after a drain.
  absl::Status Run();

 private:
  Submitter::Parts SubmitterParts();
  GenerationService::Parts GenerationParts();
  KserveService::Parts KserveParts();
  ModelService::Parts ModelParts() const;
  OpenAiService::Parts OpenAiParts();
  Supervisor::Parts SupervisorParts(std::function<CommandLine()> read_settings);
  absl::Status Listen();
  void StartEngine();
  // Like WaitForWakeUp, and meanwhile does what the supervisor does.
  WakeUp Supervise(std::optional<Duration> timeout);
  void Drain();
  void ShutDown();

  const Config& config_;
  const BackendFactory& make_backend_;
  Log* log_;
  const GrpcMessages grpc_messages_;
  const Clock clock_ = SteadyClock();
  Metrics metrics_;
  AccessLog access_;
  ServerState state_;
  Auth auth_;
  const Entry entry_;
  OpenStreams open_streams_;
  StepCosts costs_;
  RequestQueue queue_;
  HealthService health_;
  const Submitter submitter_;
  InspectionBudget inspection_budget_;
  GenerationService generation_;
  InspectionService inspection_;
  KserveService kserve_;
  ModelService models_;
  OpenAiService openai_;
  Supervisor supervisor_;
  std::unique_ptr<LoadedModel> model_;
  std::unique_ptr<StepLoop> loop_;
  std::unique_ptr<HttpServer> admin_;
  std::unique_ptr<HttpServer> http_;
  std::unique_ptr<grpc::Server> server_;
  std::thread engine_thread_;
  absl::Status engine_status_;  // of the engine thread; read after joining it
};

App::~App() {
  queue_.Close(Draining());
  if (loop_) loop_->CancelAll();
  if (engine_thread_.joinable()) engine_thread_.join();
  ShutDown();
}

Submitter::Parts App::SubmitterParts() {
  return {&state_,
          &queue_,
          &access_,
          clock_,
          RandomBits,
          &costs_,
          ToDuration(config_.max_request_seconds)};
}

GenerationService::Parts App::GenerationParts() {
  return {&state_, &submitter_, &access_, &entry_, &open_streams_, clock_};
}

KserveService::Parts App::KserveParts() {
  return {&state_, &submitter_, &access_, &entry_, &open_streams_, clock_, &metrics_};
}

Supervisor::Parts App::SupervisorParts(std::function<CommandLine()> read_settings) {
  return {&config_, std::move(read_settings), log_,    &metrics_,
          &auth_,   &open_streams_,           &state_, clock_};
}

ModelService::Parts App::ModelParts() const {
  ModelService::Parts parts;
  parts.state = &state_;
  parts.access = &access_;
  parts.entry = &entry_;
  parts.clock = clock_;
  parts.started = clock_();
  parts.limits = {{"queue_requests", static_cast<uint64_t>(config_.queue_requests)},
                  {"queue_tokens", static_cast<uint64_t>(config_.queue_tokens)},
                  {"max_running", static_cast<uint64_t>(config_.max_running)},
                  {"max_running_tokens", static_cast<uint64_t>(config_.max_running_tokens)},
                  {"max_batch_tokens", static_cast<uint64_t>(config_.max_batch_tokens)},
                  {"max_mask_cache_bytes", static_cast<uint64_t>(config_.max_mask_cache_bytes())},
                  {"max_message_bytes", static_cast<uint64_t>(config_.max_message_bytes())},
                  {"max_request_seconds", static_cast<uint64_t>(config_.max_request_seconds)}};
  if (config_.enable_inspection) {
    parts.limits["max_inspection_bytes"] = static_cast<uint64_t>(config_.max_inspection_bytes());
  }
  return parts;
}

OpenAiService::Parts App::OpenAiParts() {
  return {&state_,
          &submitter_,
          &access_,
          &entry_,
          &open_streams_,
          clock_,
          static_cast<size_t>(config_.max_message_bytes()),
          ToDuration(config_.slow_client_seconds),
          config_.playground,
          config_.enable_inspection ? &inspection_budget_ : nullptr};
}

absl::Status App::Listen() {
  const auto metrics_text = [this] {
    metrics_.SetReady(state_.ready());
    metrics_.SetWaiting(queue_.size(), queue_.tokens(), queue_.DrainSeconds());
    return metrics_.Text();
  };
  SPARSED_ASSIGN_OR_RETURN(
      admin_, StartHttpAdmin(*ParseHostPort(config_.admin_address), &state_, metrics_text));
  std::vector<grpc::Service*> services = {&generation_, &models_, &kserve_, &health_};
  if (config_.enable_inspection) services.push_back(&inspection_);
  SPARSED_ASSIGN_OR_RETURN(GrpcServer grpc_server, StartGrpcServer(config_, services));
  server_ = std::move(grpc_server.server);
  if (const auto http_address = ParseHostPort(config_.http_address)) {
    SPARSED_ASSIGN_OR_RETURN(http_, openai_.Start(*http_address));
  }
  log_->Info("listening", {{"grpc_address", config_.grpc_address},
                           {"grpc_port", grpc_server.port},
                           {"tls", !config_.tls_cert.empty()},
                           {"client_certificates", !config_.tls_client_ca.empty()},
                           {"tokens", auth_.tokens()},
                           {"admin_address", config_.admin_address},
                           {"admin_port", admin_->port()},
                           {"http_address", config_.http_address},
                           {"http_port", http_ ? http_->port() : 0},
                           {"version", Version()},
                           {"commit", Commit()}});
  return absl::OkStatus();
}

void App::StartEngine() {
  StepLoop::Parts parts;
  parts.engine = model_->engine.get();
  parts.tokenizer = model_->tokenizer.get();
  parts.queue = &queue_;
  parts.metrics = &metrics_;
  parts.log = log_;
  parts.costs = &costs_;
  parts.limits = model_->served.limits;
  parts.cost_share = config_.long_share;
  parts.clock = clock_;
  metrics_.SetMaskCacheLimit(parts.limits.max_mask_cache_bytes);
  loop_ = std::make_unique<StepLoop>(parts);
  engine_thread_ = std::thread([this] {
    engine_status_ = loop_->Run();
    NotifyEngineEnded();
  });
}

absl::Status App::Run() {
  SPARSED_RETURN_IF_ERROR(auth_.Load());
  SPARSED_RETURN_IF_ERROR(Listen());
  absl::StatusOr<std::unique_ptr<LoadedModel>> loaded = LoadModel(config_, *log_, make_backend_);
  if (absl::IsCancelled(loaded.status())) return absl::OkStatus();
  SPARSED_ASSIGN_OR_RETURN(model_, std::move(loaded));
  StartEngine();
  state_.SetServing(&model_->served);
  log_->Info("serving", {{"model", model_->served.name}});
  if (Supervise(std::nullopt) == WakeUp::kEngineEnded) {
    state_.Stop(Phase::kFailed);
    engine_thread_.join();
    ShutDown();
    return engine_status_;
  }
  Drain();
  ShutDown();
  return engine_status_;
}

WakeUp App::Supervise(std::optional<Duration> timeout) {
  const TimePoint start = clock_();
  while (true) {
    Duration slice = Supervisor::kInterval;
    if (timeout) slice = std::min<Duration>(slice, start + *timeout - clock_());
    const WakeUp why = WaitForWakeUp(std::max(slice, Duration::zero()));
    if (why == WakeUp::kReload) {
      supervisor_.Reload();
    } else if (why != WakeUp::kTimeout) {
      return why;
    } else if (timeout && clock_() - start >= *timeout) {
      return why;
    }
    supervisor_.Tick(loop_ ? &loop_->heartbeat() : nullptr);
  }
}

void App::Drain() {
  state_.Stop(Phase::kDraining);
  log_->Info("drain_started", {{"running", loop_->running()},
                               {"waiting", queue_.size()},
                               {"delay_seconds", config_.drain_delay_seconds},
                               {"timeout_seconds", config_.drain_timeout_seconds}});
  WakeUp why = Supervise(ToDuration(config_.drain_delay_seconds));
  queue_.Close(Draining());
  if (why == WakeUp::kTimeout) why = Supervise(ToDuration(config_.drain_timeout_seconds));
  if (why != WakeUp::kEngineEnded) {
    log_->Warning("drain_cut_short",
                  {{"cause", why == WakeUp::kTimeout ? "timeout" : "second signal"}});
    loop_->CancelAll();
  }
  engine_thread_.join();
  log_->Info("drained", LogFields::object());
}

void App::ShutDown() {
  if (!server_) return;
  health_.EndWatches();
  http_.reset();
  server_->Shutdown(std::chrono::system_clock::now() + kShutdownGrace);
  server_.reset();
  admin_.reset();
}

}  // namespace

int Serve(const Config& config, std::function<CommandLine()> read_settings,
          const BackendFactory& make_backend) {
  BlockSignals();
  Log log(config.log_level, config.log_format);
  absl::Status status;
  {
    App app(config, std::move(read_settings), make_backend, &log);
    status = app.Run();
  }
  if (!status.ok()) {
    log.Error("exit", {{"cause", std::string(status.message())}});
    return 1;
  }
  log.Info("exit", LogFields::object());
  return 0;
}

}  // namespace sparsed::server
