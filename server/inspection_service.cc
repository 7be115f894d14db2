#include "server/inspection_service.h"

#include <memory>
#include <optional>

#include "server/calls.h"
#include "server/validate.h"

namespace sparsed::server {

grpc::ServerWriteReactor<grpc::ByteBuffer>* InspectionService::Inspect(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* bytes) {
  v1::InspectRequest request;
  std::optional<Failure> failure = ParseMessage(*bytes, &request);
  CallInfo info = parts_.entry->Describe(*context, "grpc", "Inspect");
  info.generation = true;
  const std::string& wanted_id = request.request().request_id();
  if (!wanted_id.empty() && IsValidRequestId(wanted_id)) info.request_id = wanted_id;
  if (auto refused = parts_.entry->Authenticate(*context, info)) failure = std::move(refused);
  if (!failure) failure = parts_.entry->Authorize(info.caller, request.request().model());
  const auto call = InspectCall::Create(context, parts_.access, parts_.open_streams, info,
                                        InspectionOutbox(parts_.budget));
  v1::StreamGenerateRequest wanted;
  wanted.mutable_request()->Swap(request.mutable_request());
  const auto accepted = parts_.submitter->Submit(wanted, std::move(failure),
                                                 {info, context->deadline(), call, &request});
  if (accepted) call->Accept(*accepted);
  return call.get();
}

}  // namespace sparsed::server
