// What a folder with a checkpoint holds, read part by part up to the weights. A part that cannot be
// read does not keep the others from being read.
// Next: checkpoint/checkpoint.h, tokenizer/tokenizer.h
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/checkpoint/generation_config.h"
#include "engine/model_info.h"
#include "engine/tokenizer/chat_template.h"
#include "engine/tokenizer/tokenizer.h"

namespace sparsed::engine {

struct FolderParts {
  // config.json's, with the end tokens and defaults that the other parts add.
  std::optional<ModelInfo> info;
  GenerationConfig generation;
  std::unique_ptr<Tokenizer> tokenizer;
  std::unique_ptr<ChatTemplate> chat_template;  // null also where the checkpoint has none
  std::optional<Checkpoint> checkpoint;
  // By name: what the model wants and the checkpoint has not, and the other way round.
  std::vector<std::string> missing_tensors;
  std::vector<std::string> extra_tensors;
  // NOT_FOUND or INVALID_ARGUMENT, each naming the file. None: all of the above is there, and only
  // the tensors themselves can still be wrong.
  std::vector<absl::Status> problems;
};

FolderParts ReadFolderParts(const std::string& dir);

}  // namespace sparsed::engine
