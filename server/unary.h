// A call that is answered at once: bytes -> message -> handler -> bytes.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <optional>

#include "server/access_log.h"
#include "server/calls.h"
#include "server/clock.h"
#include "server/wire.h"

namespace sparsed::server {

// handler(const Request&, Response*) returns a std::optional<Failure>.
template <typename Request, typename Response, typename Handler>
grpc::ServerUnaryReactor* AnswerUnary(grpc::CallbackServerContext* context,
                                      const grpc::ByteBuffer* in, grpc::ByteBuffer* out,
                                      const AccessLog& access, const Clock& clock,
                                      const char* method, const Handler& handler) {
  const TimePoint arrival = clock();
  Request request;
  Response response;
  std::optional<Failure> failure = ParseMessage(*in, &request);
  if (!failure) failure = handler(request, &response);
  if (!failure) *out = SerializeMessage(response);

  CallInfo info;
  info.method = method;
  info.peer = context->peer();
  RunStats stats;
  stats.total_seconds = Seconds(clock() - arrival);
  access.Write(info, failure ? &*failure : nullptr, stats);
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(EndStatus(context, failure ? &*failure : nullptr, ""));
  return reactor;
}

}  // namespace sparsed::server
