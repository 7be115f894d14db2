#include "engine/folder_parts.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/models/families.h"

namespace sparsed::engine {
namespace {

// The value, or nothing and one problem more.
template <typename T>
std::optional<T> Take(absl::StatusOr<T> value, std::vector<absl::Status>& problems) {
  if (value.ok()) return std::move(value).value();
  problems.push_back(value.status());
  return std::nullopt;
}

// Negative: the tokenizer does not have it.
void AddEndToken(int32_t id, ModelInfo& info) {
  std::vector<int32_t>& ids = info.end_token_ids;
  if (id >= 0 && std::find(ids.begin(), ids.end(), id) == ids.end()) ids.push_back(id);
}

void ReadTokenizer(const std::string& dir, FolderParts& parts) {
  auto tokenizer = Take(Tokenizer::Load(dir), parts.problems);
  if (!tokenizer) return;
  parts.tokenizer = *std::move(tokenizer);
  if (!parts.info) return;
  if (parts.tokenizer->vocab_size() > parts.info->vocab_size) {
    parts.problems.push_back(absl::InvalidArgumentError(
        absl::StrCat(dir, ": the tokenizer has ids up to ", parts.tokenizer->vocab_size() - 1,
                     "; the model's vocabulary has ", parts.info->vocab_size, " rows")));
  }
  for (const char* text : FamilyOf(*parts.info).end_tokens) {
    AddEndToken(parts.tokenizer->Find(text), *parts.info);
  }
}

void SetDefaults(const GenerationConfig& generation, SamplingDefaults& defaults) {
  defaults.remasking = generation.remasking.value_or(defaults.remasking);
  defaults.temperature = generation.temperature.value_or(defaults.temperature);
  defaults.top_p = generation.top_p.value_or(defaults.top_p);
  defaults.top_k = generation.top_k.value_or(defaults.top_k);
  defaults.algorithm_temperature = generation.alg_temp.value_or(defaults.algorithm_temperature);
}

void ReadGeneration(const std::string& dir, FolderParts& parts) {
  if (!parts.info) return;
  auto generation = Take(ReadGenerationConfig(dir, *parts.info), parts.problems);
  if (!generation) return;
  parts.generation = *std::move(generation);
  for (const int32_t id : parts.generation.end_token_ids) AddEndToken(id, *parts.info);
  SetDefaults(parts.generation, parts.info->defaults);
}

void ReadChatTemplate(const std::string& dir, FolderParts& parts) {
  auto chat_template = ChatTemplate::Load(dir);
  if (absl::IsNotFound(chat_template.status())) return;
  if (auto found = Take(std::move(chat_template), parts.problems)) {
    parts.chat_template = *std::move(found);
  }
}

void CompareTensors(const std::string& dir, FolderParts& parts) {
  std::vector<std::string> wanted =
      TransformerModel::TensorNames(*parts.info, FamilyOf(*parts.info).tensors);
  std::sort(wanted.begin(), wanted.end());
  const std::vector<std::string> found = parts.checkpoint->TensorNames();
  std::set_difference(wanted.begin(), wanted.end(), found.begin(), found.end(),
                      std::back_inserter(parts.missing_tensors));
  std::set_difference(found.begin(), found.end(), wanted.begin(), wanted.end(),
                      std::back_inserter(parts.extra_tensors));
  if (!parts.missing_tensors.empty()) {
    parts.problems.push_back(absl::InvalidArgumentError(
        absl::StrCat(dir, ": ", parts.missing_tensors.size(), " tensors are missing, the first is ",
                     parts.missing_tensors.front())));
  }
  if (!parts.extra_tensors.empty()) {
    parts.problems.push_back(absl::InvalidArgumentError(absl::StrCat(
        dir, ": ", parts.extra_tensors.size(), " tensors are not part of the model, the first is ",
        parts.extra_tensors.front())));
  }
}

}  // namespace

FolderParts ReadFolderParts(const std::string& dir) {
  FolderParts parts;
  parts.info = Take(ReadModelConfig(dir), parts.problems);
  ReadTokenizer(dir, parts);
  ReadGeneration(dir, parts);
  ReadChatTemplate(dir, parts);
  parts.checkpoint = Take(Checkpoint::Open(dir), parts.problems);
  if (parts.info && parts.checkpoint) {
    parts.info->parameters = parts.checkpoint->parameters();
    CompareTensors(dir, parts);
  }
  return parts;
}

}  // namespace sparsed::engine
