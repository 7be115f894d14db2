#include "tests/bench/setup.h"

#include <algorithm>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "engine/checkpoint/checkpoint.h"
#include "engine/model_folder.h"
#include "engine/status_macros.h"
#include "tests/bench/progress.h"

namespace sparsed::bench {
namespace {

constexpr char kSynthetic[] = "synthetic:";

bool IsSynthetic(const std::string& model) { return model.rfind(kSynthetic, 0) == 0; }

std::string ShapeName(const std::string& model) { return model.substr(sizeof(kSynthetic) - 1); }

absl::StatusOr<std::unique_ptr<engine::Model>> LoadModel(const Options& options,
                                                         kernels::Backend& backend) {
  if (IsSynthetic(options.model)) {
    return engine::MakeSyntheticModel(ShapeName(options.model), options.seed, backend);
  }
  Progress progress("loading", 0);
  SPARSED_ASSIGN_OR_RETURN(
      engine::ModelFolder folder,
      engine::LoadModelFolder(options.model, backend, [&](int done, int total) {
        progress.SetTotal(total);
        progress.Set(done);
      }));
  return std::move(folder.model);
}

// Half of the context at most, so that the prompt is not the smaller part.
int32_t GenLength(const Options& options, int32_t context) {
  if (options.gen_length > 0) return options.gen_length;
  int32_t length = 128;
  while (length > context / 2 && length > 1) length /= 2;
  return length;
}

}  // namespace

absl::StatusOr<std::unique_ptr<kernels::Backend>> MakeBackend(const Options& options) {
  kernels::BackendOptions backend;
  backend.device = options.device;
  backend.threads = options.threads;
  backend.weights = options.weights;
  return kernels::CreateBackend(backend);
}

absl::StatusOr<engine::ModelInfo> ReadModelInfo(const Options& options) {
  return IsSynthetic(options.model) ? engine::SyntheticModelInfo(ShapeName(options.model))
                                    : engine::ReadModelConfig(options.model);
}

absl::StatusOr<std::unique_ptr<engine::Engine>> MakeEngine(const Options& options) {
  SPARSED_ASSIGN_OR_RETURN(std::unique_ptr<kernels::Backend> backend, MakeBackend(options));
  SPARSED_ASSIGN_OR_RETURN(std::unique_ptr<engine::Model> model, LoadModel(options, *backend));
  const int64_t longest = *std::max_element(options.contexts.begin(), options.contexts.end());
  const int64_t alignment = backend->Info().row_alignment;
  engine::EngineOptions engine_options;
  engine_options.max_batch_tokens =
      options.batch * ((longest + alignment - 1) / alignment * alignment);
  engine_options.time_parts = true;
  return engine::Engine::Create(std::move(backend), std::move(model), engine_options);
}

engine::Request MakeBenchRequest(const Options& options, const engine::ModelInfo& model,
                                 int32_t context, int index) {
  const int32_t gen_length = GenLength(options, context);
  std::vector<int32_t> prompt = options.prompt_ids;
  if (prompt.empty()) {
    std::mt19937_64 random(options.seed * 1000003 + index);
    while (static_cast<int32_t>(prompt.size()) < context - gen_length) {
      const int32_t id = static_cast<int32_t>(random() % model.vocab_size);
      if (id != model.mask_token_id) prompt.push_back(id);
    }
  }
  engine::Request request = engine::MakeRequest(prompt, gen_length, model.mask_token_id);
  request.sampling.block_length =
      options.block_length > 0 ? options.block_length : std::min(gen_length, 32);
  request.sampling.steps = options.steps > 0 ? options.steps : std::max(gen_length / 2, 1);
  request.sampling.seed = options.seed + index;
  request.sampling.stop_at_end = false;
  request.sparse = options.sparse;
  return request;
}

}  // namespace sparsed::bench
