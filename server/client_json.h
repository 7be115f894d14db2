// JSON that clients send: parsed within bounds, and turned into messages.
#pragma once

#include <google/protobuf/message.h>

#include <nlohmann/json.hpp>
#include <string>

namespace sparsed::server {

// Fills *value, or returns what is wrong: "is not JSON", "is nested more than 8 deep". Copying and
// printing JSON recurse, so that depth would be paid for with the stack.
std::string ParseClientJson(const std::string& text, int max_depth, nlohmann::json* value);

// A JSON value as a message whose field names it has; whether it is one.
bool ReadJson(const nlohmann::json& value, google::protobuf::Message* message);

}  // namespace sparsed::server
