// The table of model families. A family is one file beside this one and one line of the table; it
// says how its config.json is read and what its tensors are called. The forward pass is shared.
// Next: llada.cc (a family), transformer.h (the forward pass)
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/checkpoint/config_reader.h"
#include "engine/model.h"
#include "engine/models/transformer.h"
#include "engine/models/weight_source.h"

namespace sparsed::engine {

struct Family {
  const char* name;  // ModelInfo::family
  const char*
      architecture;  // in config.json's `architectures`; model_type does not tell them apart
  // Everything but family, dtype and parameters. A switch that is not implemented is refused by
  // name and value.
  absl::StatusOr<ModelInfo> (*read_config)(const ConfigReader& config);
  TensorNaming tensors;
  // Tokens of the tokenizer that end a text beside the config's end token.
  std::span<const char* const> end_tokens;
};

// Each in its own file.
const Family& LladaFamily();
const Family& DreamFamily();
const Family& LladaMoeFamily();

// Errors: INVALID_ARGUMENT naming `architectures` and those there are.
absl::StatusOr<const Family*> FamilyOfConfig(const ConfigReader& config);
// info.family must be in the table.
const Family& FamilyOf(const ModelInfo& info);

// Packs all weights for `backend`, one layer after the other. progress(done, total) counts tensors
// and may be empty. Errors: as the source's and the backend's.
absl::StatusOr<std::unique_ptr<Model>> CreateModel(
    const ModelInfo& info, const WeightSource& source, kernels::Backend& backend,
    const std::function<void(int done, int total)>& progress);

}  // namespace sparsed::engine
