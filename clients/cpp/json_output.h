// Protocol messages as JSON for scripts.
#pragma once

#include <google/protobuf/message.h>

#include <string>

namespace sparsed::clients {

// The message as indented JSON with proto field names, fields with default values included, and a
// newline at the end. 64-bit integers are strings, as protobuf's JSON mapping says.
std::string ToJson(const google::protobuf::Message& message);

}  // namespace sparsed::clients
