// W3C trace context: whose trace a call belongs to.
#pragma once

#include <optional>
#include <string>

namespace sparsed::server {

struct TraceContext {
  std::string trace_id;   // 32 hexadecimal digits
  std::string parent_id;  // 16: the caller's span; empty where the trace begins here
};

// Strict: the lower-case form of version 00, or what begins like it of a later version. Nothing
// where anything is wrong. Pure.
std::optional<TraceContext> ParseTraceParent(const std::string& header);

// Whether it is a list of at most 32 members key=value as the standard has them. Pure.
bool IsTraceState(const std::string& header);

}  // namespace sparsed::server
