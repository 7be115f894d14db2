#include "server/entry.h"

#include <vector>

#include "absl/strings/str_format.h"
#include "server/trace_context.h"
#include "server/validate.h"

namespace sparsed::server {
namespace {

// A version 4 UUID.
std::string MakeUuid(uint64_t high, uint64_t low) {
  return absl::StrFormat("%08x-%04x-4%03x-%04x-%012x", high >> 32, high >> 16 & 0xFFFF,
                         high & 0xFFF, 0x8000 | (low >> 48 & 0x3FFF), low & 0xFFFFFFFFFFFF);
}

Entry::Headers HeadersOf(const grpc::CallbackServerContext& context) {
  return [&context](const char* name) {
    std::vector<std::string> values;
    const auto [begin, end] = context.client_metadata().equal_range(name);
    for (auto it = begin; it != end; ++it) {
      values.emplace_back(it->second.data(), it->second.size());
    }
    return values;
  };
}

// Of the client's certificate; empty without one.
std::string CommonName(const grpc::CallbackServerContext& context) {
  const auto identity = context.auth_context();
  if (!identity || !identity->IsPeerAuthenticated()) return "";
  const auto names = identity->FindPropertyValues("x509_common_name");
  return names.empty() ? "" : std::string(names[0].data(), names[0].size());
}

}  // namespace

CallInfo Entry::Describe(const Headers& headers, const std::string& peer, const char* surface,
                         const char* method) const {
  CallInfo info;
  info.surface = surface;
  info.method = method;
  info.peer = peer;
  const std::vector<std::string> ids = headers("x-request-id");
  const bool named = ids.size() == 1 && !ids[0].empty() && IsValidRequestId(ids[0]);
  info.request_id = named ? ids[0] : MakeUuid(random_(), random_());

  const std::vector<std::string> parents = headers("traceparent");
  const std::vector<std::string> states = headers("tracestate");
  const auto trace = parents.size() == 1 ? ParseTraceParent(parents[0]) : std::nullopt;
  if (trace) {
    info.trace_id = trace->trace_id;
    info.parent_span_id = trace->parent_id;
    if (states.size() == 1 && IsTraceState(states[0])) info.trace_state = states[0];
  } else {
    info.trace_id = absl::StrFormat("%016x%016x", random_(), random_() | 1);
  }
  info.span_id = absl::StrFormat("%016x", random_() | 1);
  return info;
}

CallInfo Entry::Describe(const grpc::CallbackServerContext& context, const char* surface,
                         const char* method) const {
  return Describe(HeadersOf(context), context.peer(), surface, method);
}

std::optional<Failure> Entry::Authenticate(const Headers& headers, CallInfo& info) const {
  return auth_->Check(headers("authorization"), &info.caller);
}

std::optional<Failure> Entry::Authenticate(const grpc::CallbackServerContext& context,
                                           CallInfo& info) const {
  info.caller.name = CommonName(context);
  return Authenticate(HeadersOf(context), info);
}

std::optional<Failure> Entry::Authorize(const Caller& caller, const std::string& model) const {
  const std::string& wanted = model.empty() ? model_ : model;
  if (caller.MayUse(wanted)) return std::nullopt;
  return ModelForbidden(wanted);
}

}  // namespace sparsed::server
