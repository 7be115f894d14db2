// Everything that a folder with a checkpoint gives: the one way to load a model.
// Next: engine/folder_parts.h, engine/models/families.h
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/model.h"
#include "engine/tokenizer/chat_template.h"
#include "engine/tokenizer/tokenizer.h"
#include "kernels/backend.h"

namespace sparsed::engine {

struct ModelFolder {
  std::unique_ptr<Model> model;
  std::unique_ptr<Tokenizer> tokenizer;
  std::unique_ptr<ChatTemplate> chat_template;  // null where the checkpoint has none
};

// progress(done, total): weights packed so far, in tensors; may be empty.
using LoadProgress = std::function<void(int done, int total)>;

// Errors: NOT_FOUND, INVALID_ARGUMENT, RESOURCE_EXHAUSTED, each naming the file.
absl::StatusOr<ModelFolder> LoadModelFolder(const std::string& dir, kernels::Backend& backend,
                                            const LoadProgress& progress);

// The model alone; `checkpoint` must hold the family's tensors. Errors: as above.
absl::StatusOr<std::unique_ptr<Model>> LoadModel(const Checkpoint& checkpoint,
                                                 const ModelInfo& info, kernels::Backend& backend,
                                                 const LoadProgress& progress);

// A model with random weights made on the spot: "llada-8b", "dream-7b", "llada-moe", "nano", or
// "tiny", "tiny-dream" and "tiny-llada-moe" (2 or 3 layers, for tests); "llada-8b:4" has 4 layers.
// Deterministic in seed. Errors: INVALID_ARGUMENT (unknown shape).
absl::StatusOr<std::unique_ptr<Model>> MakeSyntheticModel(const std::string& shape, uint64_t seed,
                                                          kernels::Backend& backend);
// The numbers of such a model, without making it. Errors: as above.
absl::StatusOr<ModelInfo> SyntheticModelInfo(const std::string& shape);

}  // namespace sparsed::engine
