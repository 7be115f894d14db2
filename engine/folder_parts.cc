#include "engine/folder_parts.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/models/llada.h"

namespace sparsed::engine {
namespace {

constexpr char kEndOfTurn[] = "<|eot_id|>";

// The value, or nothing and one problem more.
template <typename T>
std::optional<T> Take(absl::StatusOr<T> value, std::vector<absl::Status>& problems) {
  if (value.ok()) return std::move(value).value();
  problems.push_back(value.status());
  return std::nullopt;
}

void AddEndToken(int32_t id, ModelInfo& info) {
  std::vector<int32_t>& ids = info.end_token_ids;
  if (std::find(ids.begin(), ids.end(), id) == ids.end()) ids.push_back(id);
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
  const int32_t end_of_turn = parts.tokenizer->Find(kEndOfTurn);
  if (end_of_turn >= 0) AddEndToken(end_of_turn, *parts.info);
}

void ReadGeneration(const std::string& dir, FolderParts& parts) {
  if (!parts.info) return;
  auto generation = Take(ReadGenerationConfig(dir, *parts.info), parts.problems);
  if (!generation) return;
  parts.generation = *std::move(generation);
  for (const int32_t id : parts.generation.end_token_ids) AddEndToken(id, *parts.info);
  parts.info->default_temperature = parts.generation.temperature.value_or(0);
}

void ReadChatTemplate(const std::string& dir, FolderParts& parts) {
  auto chat_template = ChatTemplate::Load(dir);
  if (absl::IsNotFound(chat_template.status())) return;
  if (auto found = Take(std::move(chat_template), parts.problems)) {
    parts.chat_template = *std::move(found);
  }
}

void CompareTensors(const std::string& dir, FolderParts& parts) {
  std::vector<std::string> wanted = LladaModel::TensorNames(*parts.info);
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
