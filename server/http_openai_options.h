// The objects of OpenAI's requests that OpenAI does not know. Pure.
#pragma once

#include <google/protobuf/message.h>

#include <nlohmann/json.hpp>
#include <string>

#include "server/http_openai_request.h"
#include "server/violations.h"

namespace sparsed::server {

// The fields of sparsed.v1.SamplingOptions, `sparse` with those of SparseOptions, `algorithm` for
// `remasking`, `stream_frames` and `token_confidences`. Values of enums are words:
// "low_confidence".
void ReadDiffusion(const nlohmann::json& value, OpenAiCall* call, Violations& violations);

// The fields of sparsed.v1.InspectRequest but for the generation, which is what is beside it.
void ReadInspect(const nlohmann::json& value, v1::InspectRequest* inspect, Violations& violations);

// One field of a message of options; violations are of `path`.
void ReadOption(const std::string& path, const std::string& name, const nlohmann::json& value,
                google::protobuf::Message* options, Violations& violations);

}  // namespace sparsed::server
