// The model that the server has loaded, as validation and the services see it.
#pragma once

#include <cstdint>
#include <string>

#include "engine/engine.h"
#include "engine/tokenizer/chat_template.h"
#include "engine/tokenizer/tokenizer.h"
#include "server/batcher.h"

namespace sparsed::server {

// Immutable, borrowed by whoever gets it; everything in it is thread-safe.
struct ServedModel {
  std::string name;
  const engine::ModelInfo* info = nullptr;
  const engine::Tokenizer* tokenizer = nullptr;
  const engine::ChatTemplate* chat_template = nullptr;  // null where the checkpoint has none
  const engine::Engine* engine = nullptr;               // for Engine::Estimate
  std::string device;
  std::string device_description;
  std::string weights;        // as kernels::BackendInfo's
  uint64_t memory_bytes = 0;  // on the device, before any request
  Limits limits;
};

}  // namespace sparsed::server
