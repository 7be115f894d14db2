#include "server/model_loader.h"

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/status_macros.h"
#include "server/signals.h"

namespace sparsed::server {
namespace {

void DrawProgress(int done, int total) {
  constexpr int kWidth = 40;
  const int filled = total > 0 ? kWidth * done / total : 0;
  std::fprintf(stderr, "\rloading [%s%s] %d/%d tensors%s", std::string(filled, '#').c_str(),
               std::string(kWidth - filled, '.').c_str(), done, total, done == total ? "\n" : "");
  std::fflush(stderr);
}

// One step of the smallest request, through all layers.
absl::Status WarmUp(engine::Engine& engine) {
  const engine::ModelInfo& info = engine.model_info();
  const int32_t prompt = info.end_token_ids.empty() ? 0 : info.end_token_ids.front();
  engine::Request request = engine::MakeRequest({prompt}, 1, info.mask_token_id);
  request.sampling.steps = 1;
  request.sampling.block_length = 1;
  SPARSED_ASSIGN_OR_RETURN(const engine::SequenceId id, engine.Start(request));
  const auto steps = engine.Step();
  engine.Remove(id);
  SPARSED_RETURN_IF_ERROR(steps.status());
  return steps->empty() ? absl::InternalError("warm-up: no step") : steps->front().error;
}

}  // namespace

absl::StatusOr<std::unique_ptr<LoadedModel>> LoadModel(const Config& config, const Log& log,
                                                       const BackendFactory& make_backend) {
  const auto start = std::chrono::steady_clock::now();
  kernels::BackendOptions options;
  options.device = config.device;
  options.threads = static_cast<int>(config.threads);
  if (config.weights == kInt8Weights) options.weights = kernels::WeightType::kInt8;
  std::string why;
  SPARSED_ASSIGN_OR_RETURN(std::unique_ptr<kernels::Backend> backend, make_backend(options, &why));
  const kernels::BackendInfo device = backend->Info();
  log.Info("device", {{"wanted", config.device},
                      {"device", device.device},
                      {"description", device.description},
                      {"no_gpu_because", why}});

  const bool terminal = isatty(STDERR_FILENO) != 0;
  bool stopped = false;
  const auto progress = [terminal, &stopped](int done, int total) {
    if (terminal) DrawProgress(done, total);
    stopped = stopped || StopSignalPending();
  };
  SPARSED_ASSIGN_OR_RETURN(engine::ModelFolder folder,
                           engine::LoadModelFolder(config.model_dir, *backend, progress));
  if (stopped) return absl::CancelledError("stopped while loading");

  auto loaded = std::make_unique<LoadedModel>();
  loaded->tokenizer = std::move(folder.tokenizer);
  loaded->chat_template = std::move(folder.chat_template);
  SPARSED_ASSIGN_OR_RETURN(
      loaded->engine, engine::Engine::Create(std::move(backend), std::move(folder.model),
                                             {config.max_batch_tokens, config.max_running_tokens}));
  SPARSED_RETURN_IF_ERROR(WarmUp(*loaded->engine));

  ServedModel& served = loaded->served;
  served.memory_bytes = loaded->engine->backend_info().allocated_bytes;
  served.name = config.model_name;
  served.info = &loaded->engine->model_info();
  served.tokenizer = loaded->tokenizer.get();
  served.chat_template = loaded->chat_template.get();
  served.engine = loaded->engine.get();
  served.device = device.device;
  served.weights = device.weights;
  served.device_description = absl::StrCat(device.device, ": ", device.description);
  served.limits = {config.max_running, config.max_batch_tokens, config.max_mask_cache_bytes(),
                   config.max_running_tokens};
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  log.Info("model_loaded", {{"model", served.name},
                            {"family", served.info->family},
                            {"parameters", served.info->parameters},
                            {"chat_template", served.chat_template != nullptr},
                            {"seconds", seconds.count()}});
  return loaded;
}

}  // namespace sparsed::server
