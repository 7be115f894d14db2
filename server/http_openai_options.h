// The object `diffusion` of OpenAI's requests. Pure.
#pragma once

#include <google/protobuf/message.h>

#include <nlohmann/json.hpp>
#include <string>

#include "server/http_openai_request.h"
#include "server/violations.h"

namespace sparsed::server {

// The fields of sparsed.v1.SamplingOptions, `sparse` with those of SparseOptions, `algorithm` for
// `remasking`, and `stream_frames`. Values of enums are words: "low_confidence".
void ReadDiffusion(const nlohmann::json& value, OpenAiCall* call, Violations& violations);

// One field of a message of options; violations are of `path`.
void ReadOption(const std::string& path, const std::string& name, const nlohmann::json& value,
                google::protobuf::Message* options, Violations& violations);

}  // namespace sparsed::server
