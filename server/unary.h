// A call that is answered at once: bytes -> message -> handler -> bytes.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <optional>
#include <string>
#include <type_traits>

#include "server/access_log.h"
#include "server/calls.h"
#include "server/clock.h"
#include "server/entry.h"
#include "server/wire.h"

namespace sparsed::server {

// All borrowed for the call.
struct UnaryParts {
  const Entry& entry;
  const AccessLog& access;
  const Clock& clock;
  const char* surface = "grpc";
};

// The model that a message names, by whichever field it has for that.
template <typename Request>
std::optional<std::string> NamedModel(const Request& request) {
  if constexpr (requires { request.model_name(); }) {
    return request.model_name();
  } else if constexpr (requires { request.model(); }) {
    return request.model();
  } else if constexpr (requires { request.name(); }) {
    return request.name();
  } else {
    return std::nullopt;
  }
}

// handler(const Request&, Response*) returns a std::optional<Failure>; where the answer depends on
// who asks, it takes a const Caller& too. It is not called for a model that is forbidden.
template <typename Request, typename Response, typename Handler>
grpc::ServerUnaryReactor* AnswerUnary(grpc::CallbackServerContext* context,
                                      const grpc::ByteBuffer* in, grpc::ByteBuffer* out,
                                      const UnaryParts& parts, const char* method,
                                      const Handler& handler) {
  const TimePoint arrival = parts.clock();
  CallInfo info = parts.entry.Describe(*context, parts.surface, method);
  Request request;
  Response response;
  std::optional<Failure> failure = parts.entry.Authenticate(*context, info);
  bool refused = failure.has_value();
  if (!failure) failure = ParseMessage(*in, &request);
  if (!failure) {
    if (const auto model = NamedModel(request)) {
      failure = parts.entry.Authorize(info.caller, *model);
    }
    refused = failure.has_value();
  }
  if (refused) parts.access.CountRejection(*failure);
  if (!failure) {
    if constexpr (std::is_invocable_v<Handler, const Request&, Response*, const Caller&>) {
      failure = handler(request, &response, info.caller);
    } else {
      failure = handler(request, &response);
    }
  }
  if (!failure) {
    SendRequestId(context, info.request_id);
    *out = SerializeMessage(response);
  }

  RunStats stats;
  stats.total_seconds = Seconds(parts.clock() - arrival);
  parts.access.Write(info, failure ? &*failure : nullptr, stats);
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(EndStatus(context, failure ? &*failure : nullptr, info.request_id));
  return reactor;
}

}  // namespace sparsed::server
