// A call that is answered at once: bytes -> message -> handler -> bytes.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <optional>

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

// handler(const Request&, Response*) returns a std::optional<Failure>.
template <typename Request, typename Response, typename Handler>
grpc::ServerUnaryReactor* AnswerUnary(grpc::CallbackServerContext* context,
                                      const grpc::ByteBuffer* in, grpc::ByteBuffer* out,
                                      const UnaryParts& parts, const char* method,
                                      const Handler& handler) {
  const TimePoint arrival = parts.clock();
  CallInfo info = parts.entry.Describe(*context, parts.surface, method);
  SendRequestId(context, info.request_id);
  Request request;
  Response response;
  std::optional<Failure> failure = parts.entry.Authenticate(*context, info);
  if (failure) parts.access.CountRejection(*failure);
  if (!failure) failure = ParseMessage(*in, &request);
  if (!failure) failure = handler(request, &response);
  if (!failure) *out = SerializeMessage(response);

  RunStats stats;
  stats.total_seconds = Seconds(parts.clock() - arrival);
  parts.access.Write(info, failure ? &*failure : nullptr, stats);
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(EndStatus(context, failure ? &*failure : nullptr, info.request_id));
  return reactor;
}

}  // namespace sparsed::server
