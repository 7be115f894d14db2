#include "server/app.h"

#include <chrono>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>

#include "engine/status_macros.h"
#include "server/access_log.h"
#include "server/build_info.h"
#include "server/grpc_server.h"
#include "server/health_service.h"
#include "server/http_admin.h"
#include "server/log.h"
#include "server/metrics.h"
#include "server/model_loader.h"
#include "server/model_service.h"
#include "server/queue.h"
#include "server/server_state.h"
#include "server/service.h"
#include "server/signals.h"
#include "server/step_loop.h"

namespace sparsed::server {
namespace {

// What was finished but is not yet on the wire gets this long, and so does a client that does not
// answer the ping of a graceful GOAWAY, as one without open calls may not.
constexpr std::chrono::seconds kShutdownGrace(1);

Duration ToDuration(double seconds) {
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
}

uint64_t RandomBits() {
  std::random_device device;
  return static_cast<uint64_t>(device()) << 32 | device();
}

// Owns all parts; each borrows from those above it.
class App {
 public:
  App(const Config& config, const Log* log)
      : config_(config),
        log_(log),
        metrics_(Version(), Commit()),
        access_(log, &metrics_),
        queue_(config.queue_requests, config.queue_tokens, &costs_),
        health_({"", v1::GenerationService::service_full_name(),
                 v1::ModelService::service_full_name()}),
        generation_(GenerationParts()),
        models_(ModelParts()) {
    state_.OnChange([this](Phase phase) { health_.SetServing(phase == Phase::kServing); });
  }
  ~App();

  // Until a signal; OK after a drain.
  absl::Status Run();

 private:
  GenerationService::Parts GenerationParts() const;
  ModelService::Parts ModelParts() const;
  absl::Status Listen();
  void StartEngine();
  void Drain();
  void ShutDown();

  const Config& config_;
  const Log* log_;
  const Clock clock_ = [] { return std::chrono::steady_clock::now(); };
  Metrics metrics_;
  AccessLog access_;
  ServerState state_;
  mutable StepCosts costs_;
  mutable RequestQueue queue_;
  HealthService health_;
  GenerationService generation_;
  ModelService models_;
  std::unique_ptr<LoadedModel> model_;
  std::unique_ptr<StepLoop> loop_;
  std::unique_ptr<HttpAdmin> admin_;
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

GenerationService::Parts App::GenerationParts() const {
  return {&state_, &queue_, &access_, clock_, RandomBits, ToDuration(config_.max_request_seconds),
          &costs_};
}

ModelService::Parts App::ModelParts() const {
  ModelService::Parts parts;
  parts.state = &state_;
  parts.access = &access_;
  parts.clock = clock_;
  parts.started = clock_();
  parts.limits = {{"queue_requests", static_cast<uint64_t>(config_.queue_requests)},
                  {"queue_tokens", static_cast<uint64_t>(config_.queue_tokens)},
                  {"max_running", static_cast<uint64_t>(config_.max_running)},
                  {"max_running_tokens", static_cast<uint64_t>(config_.max_running_tokens)},
                  {"max_batch_tokens", static_cast<uint64_t>(config_.max_batch_tokens)},
                  {"max_mask_cache_bytes", static_cast<uint64_t>(config_.max_mask_cache_bytes())},
                  {"max_message_bytes", kMaxReceiveMessageBytes},
                  {"max_request_seconds", static_cast<uint64_t>(config_.max_request_seconds)}};
  return parts;
}

absl::Status App::Listen() {
  const auto metrics_text = [this] {
    metrics_.SetWaiting(queue_.size(), queue_.tokens(), queue_.DrainSeconds());
    return metrics_.Text();
  };
  SPARSED_ASSIGN_OR_RETURN(
      admin_, HttpAdmin::Start(*ParseHostPort(config_.admin_address), &state_, metrics_text));
  SPARSED_ASSIGN_OR_RETURN(GrpcServer grpc_server,
                           StartGrpcServer(config_.grpc_address, {&generation_, &models_, &health_},
                                           config_.max_request_seconds, config_.log_format));
  server_ = std::move(grpc_server.server);
  log_->Info("listening", {{"grpc_address", config_.grpc_address},
                           {"grpc_port", grpc_server.port},
                           {"admin_address", config_.admin_address},
                           {"admin_port", admin_->port()},
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
  loop_ = std::make_unique<StepLoop>(parts);
  engine_thread_ = std::thread([this] {
    engine_status_ = loop_->Run();
    NotifyEngineEnded();
  });
}

absl::Status App::Run() {
  SPARSED_RETURN_IF_ERROR(Listen());
  absl::StatusOr<std::unique_ptr<LoadedModel>> loaded = LoadModel(config_, *log_);
  if (absl::IsCancelled(loaded.status())) return absl::OkStatus();
  SPARSED_ASSIGN_OR_RETURN(model_, std::move(loaded));
  StartEngine();
  state_.SetServing(&model_->served);
  log_->Info("serving", {{"model", model_->served.name}});
  if (WaitForWakeUp(std::nullopt) == WakeUp::kEngineEnded) {
    state_.Stop(Phase::kFailed);
    engine_thread_.join();
    ShutDown();
    return engine_status_;
  }
  Drain();
  ShutDown();
  return engine_status_;
}

void App::Drain() {
  state_.Stop(Phase::kDraining);
  log_->Info("drain_started", {{"waiting", queue_.size()},
                               {"delay_seconds", config_.drain_delay_seconds},
                               {"timeout_seconds", config_.drain_timeout_seconds}});
  WakeUp why = WaitForWakeUp(ToDuration(config_.drain_delay_seconds));
  queue_.Close(Draining());
  if (why == WakeUp::kTimeout) why = WaitForWakeUp(ToDuration(config_.drain_timeout_seconds));
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
  server_->Shutdown(std::chrono::system_clock::now() + kShutdownGrace);
  server_.reset();
  admin_.reset();
}

}  // namespace

int Serve(const Config& config) {
  BlockSignals();
  const Log log(config.log_level, config.log_format);
  absl::Status status;
  {
    App app(config, &log);
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
