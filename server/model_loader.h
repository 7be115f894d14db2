// A model folder to a warm engine.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "engine/engine.h"
#include "engine/model_folder.h"
#include "server/config.h"
#include "server/log.h"
#include "server/served_model.h"

namespace sparsed::server {

// As kernels::CreateBackend.
using BackendFactory = std::function<absl::StatusOr<std::unique_ptr<kernels::Backend>>(
    const kernels::BackendOptions& options, std::string* why)>;

// Everything that `served` points into. Must not be moved apart from it.
struct LoadedModel {
  std::unique_ptr<engine::Tokenizer> tokenizer;
  std::unique_ptr<engine::ChatTemplate> chat_template;
  std::unique_ptr<engine::Engine> engine;
  ServedModel served;
};

// Loads, with a progress bar where standard error is a terminal, and runs one warm-up step. Errors:
// the backend's and the loader's; CANCELLED if a stop signal came meanwhile.
absl::StatusOr<std::unique_ptr<LoadedModel>> LoadModel(const Config& config, const Log& log,
                                                       const BackendFactory& make_backend);

}  // namespace sparsed::server
