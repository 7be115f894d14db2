// The input of a request, whatever its form, as pieces of token ids and holes. Pure.
// Next: server/options_check.h
#pragma once

#include <google/protobuf/repeated_ptr_field.h>

#include <cstdint>
#include <string>
#include <vector>

#include "server/served_model.h"
#include "server/violations.h"
#include "sparsed/v1/generation.pb.h"

namespace sparsed::server {

struct Piece {
  std::string text;  // of an infill part
  std::vector<int32_t> ids;
  int64_t hole_tokens = 0;  // > 0: a hole
};

struct Input {
  std::string field;  // "prompt": where its violations belong
  std::vector<Piece> pieces;
  bool infill = false;
  bool no_chat_template = false;  // a conversation, but the checkpoint has no template

  int64_t prompt_tokens() const;
  int64_t hole_tokens() const;
};

// Adds what is wrong to `violations`; the result is of no use then.
Input ReadInput(const v1::GenerateRequest& request, const ServedModel& model,
                Violations& violations);

// The given tokens of the canvas; empty where none are given.
std::vector<int32_t> ReadTargets(const v1::GenerateRequest& request, const ServedModel& model,
                                 Violations& violations);

// The ids of a conversation whose violations lie below `field`. The model must have a template.
std::vector<int32_t> EncodeChat(const v1::Chat& chat, const std::string& field,
                                const ServedModel& model, Violations& violations);

}  // namespace sparsed::server
