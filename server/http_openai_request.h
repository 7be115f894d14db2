// The JSON of OpenAI's requests as the requests of our own contract. Pure.
// Next: server/http_openai.h
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "server/errors.h"
#include "sparsed/v1/generation.pb.h"
#include "sparsed/v1/inspection.pb.h"

namespace sparsed::server {

// Beginnings of paths in GenerateRequest and the fields of JSON that they came from; the first that
// fits counts.
using FieldNames = std::vector<std::pair<std::string, std::string>>;

struct OpenAiCall {
  bool chat = false;  // /v1/chat/completions, else /v1/completions
  v1::GenerateRequest request;
  bool stream = false;
  bool include_usage = false;  // in a chunk of its own, at the end of a stream
  bool frames = false;
  std::optional<v1::InspectRequest> inspect;  // there is one where the path knows inspections
  FieldNames names;
};

// Fills *call but for `chat`, and whether there is an `inspect`, which it reads. INVALID_ARGUMENT
// with everything that the contract has no word for; whether the rest makes sense is found in
// server/validate.h.
std::optional<Failure> ParseOpenAi(const std::string& body, OpenAiCall* call);

// "sampling.steps" -> "diffusion.steps".
std::string JsonField(const FieldNames& names, const std::string& field);

}  // namespace sparsed::server
