#include "engine/model_folder.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/models/families.h"
#include "engine/status_macros.h"

namespace sparsed::engine {
namespace {

// The checkpoint holds the model's tensors, all of them and no others.
absl::Status CheckTensorNames(const std::string& dir, std::vector<std::string> wanted,
                              std::vector<std::string> found) {
  std::sort(wanted.begin(), wanted.end());
  std::sort(found.begin(), found.end());
  std::vector<std::string> missing;
  std::vector<std::string> extra;
  std::set_difference(wanted.begin(), wanted.end(), found.begin(), found.end(),
                      std::back_inserter(missing));
  std::set_difference(found.begin(), found.end(), wanted.begin(), wanted.end(),
                      std::back_inserter(extra));
  if (!missing.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        dir, ": ", missing.size(), " tensors are missing, the first is ", missing.front()));
  }
  if (!extra.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(dir, ": ", extra.size(), " tensors are not part of the model, the first is ",
                     extra.front()));
  }
  return absl::OkStatus();
}

// Negative: the tokenizer does not have it.
void AddEndToken(int32_t id, ModelInfo& info) {
  std::vector<int32_t>& ids = info.end_token_ids;
  if (id >= 0 && std::find(ids.begin(), ids.end(), id) == ids.end()) ids.push_back(id);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Model>> LoadModel(const std::string& dir, ModelInfo info,
                                                 kernels::Backend& backend,
                                                 const LoadProgress& progress) {
  SPARSED_ASSIGN_OR_RETURN(const Checkpoint checkpoint, Checkpoint::Open(dir));
  info.parameters = checkpoint.parameters();
  SPARSED_RETURN_IF_ERROR(CheckTensorNames(
      dir, TransformerModel::TensorNames(info, FamilyOf(info).tensors), checkpoint.TensorNames()));
  const WeightSource source = [&checkpoint](const std::string& name, int64_t rows,
                                            int64_t cols) -> absl::StatusOr<SourceMatrix> {
    SPARSED_ASSIGN_OR_RETURN(const kernels::HostMatrix matrix, checkpoint.Matrix(name, rows, cols));
    return SourceMatrix{matrix, {}, [&checkpoint, name] { checkpoint.Release(name); }};
  };
  return CreateModel(info, source, backend, progress);
}

absl::StatusOr<ModelFolder> LoadModelFolder(const std::string& dir, kernels::Backend& backend,
                                            const LoadProgress& progress) {
  ModelFolder folder;
  SPARSED_ASSIGN_OR_RETURN(ModelInfo info, ReadModelConfig(dir));
  SPARSED_ASSIGN_OR_RETURN(folder.tokenizer, Tokenizer::Load(dir));
  if (folder.tokenizer->vocab_size() > info.vocab_size) {
    return absl::InvalidArgumentError(
        absl::StrCat(dir, "/tokenizer.json: ids up to ", folder.tokenizer->vocab_size() - 1,
                     "; the model's vocabulary has ", info.vocab_size, " rows"));
  }
  for (const char* text : FamilyOf(info).end_tokens)
    AddEndToken(folder.tokenizer->Find(text), info);

  absl::StatusOr<std::unique_ptr<ChatTemplate>> chat_template = ChatTemplate::Load(dir);
  if (chat_template.ok()) {
    folder.chat_template = std::move(chat_template).value();
  } else if (!absl::IsNotFound(chat_template.status())) {
    return chat_template.status();
  }

  SPARSED_ASSIGN_OR_RETURN(folder.model, LoadModel(dir, info, backend, progress));
  return folder;
}

}  // namespace sparsed::engine
