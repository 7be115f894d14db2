#include "engine/model_folder.h"

#include <utility>

#include "engine/folder_parts.h"
#include "engine/models/families.h"
#include "engine/status_macros.h"

namespace sparsed::engine {

absl::StatusOr<std::unique_ptr<Model>> LoadModel(const Checkpoint& checkpoint,
                                                 const ModelInfo& info, kernels::Backend& backend,
                                                 const LoadProgress& progress) {
  const WeightSource source = [&checkpoint](const std::string& name, int64_t rows,
                                            int64_t cols) -> absl::StatusOr<SourceMatrix> {
    SPARSED_ASSIGN_OR_RETURN(const kernels::HostMatrix matrix, checkpoint.Matrix(name, rows, cols));
    return SourceMatrix{matrix, {}, [&checkpoint, name] { checkpoint.Release(name); }};
  };
  return CreateModel(info, source, backend, progress);
}

absl::StatusOr<ModelFolder> LoadModelFolder(const std::string& dir, kernels::Backend& backend,
                                            const LoadProgress& progress) {
  FolderParts parts = ReadFolderParts(dir);
  if (!parts.problems.empty()) return parts.problems.front();
  ModelFolder folder;
  folder.tokenizer = std::move(parts.tokenizer);
  folder.chat_template = std::move(parts.chat_template);
  SPARSED_ASSIGN_OR_RETURN(folder.model,
                           LoadModel(*parts.checkpoint, *parts.info, backend, progress));
  return folder;
}

}  // namespace sparsed::engine
