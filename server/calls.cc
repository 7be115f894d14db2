#include "server/calls.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "server/wire.h"

namespace sparsed::server {
namespace {

constexpr char kRequestIdKey[] = "x-request-id";
constexpr char kPushbackKey[] = "grpc-retry-pushback-ms";

}  // namespace

void SendRequestId(grpc::CallbackServerContext* context, const std::string& id) {
  context->AddInitialMetadata(kRequestIdKey, id);
}

grpc::Status EndStatus(grpc::CallbackServerContext* context, const Failure* failure,
                       const std::string& request_id) {
  if (failure == nullptr) return grpc::Status::OK;
  context->AddTrailingMetadata(kRequestIdKey, request_id);
  if (failure->pushback_ms) {
    context->AddTrailingMetadata(kPushbackKey, absl::StrCat(*failure->pushback_ms));
  }
  return ToGrpcStatus(*failure, request_id);
}

std::shared_ptr<UnaryCall> UnaryCall::Create(grpc::CallbackServerContext* context,
                                             grpc::ByteBuffer* response, const AccessLog* access,
                                             CallInfo info, Format format) {
  std::shared_ptr<UnaryCall> call(new UnaryCall());
  call->context_ = context;
  call->response_ = response;
  call->access_ = access;
  call->info_ = std::move(info);
  call->format_ = std::move(format);
  call->self_ = call;
  return call;
}

void UnaryCall::OnResult(const v1::GenerateResponse& result, const RunStats& stats) {
  access_->Write(info_, nullptr, stats);
  SendRequestId(context_, info_.request_id);
  *response_ = format_(result);
  Finish(grpc::Status::OK);
}

void UnaryCall::OnFailure(const Failure& failure, const RunStats& stats) {
  access_->Write(info_, &failure, stats);
  Finish(EndStatus(context_, &failure, info_.request_id));
}

template <typename OutboxType>
std::shared_ptr<StreamCallOf<OutboxType>> StreamCallOf<OutboxType>::Create(
    grpc::CallbackServerContext* context, const AccessLog* access, OpenStreams* open, CallInfo info,
    OutboxType outbox) {
  std::shared_ptr<StreamCallOf> call(new StreamCallOf(std::move(outbox)));
  call->context_ = context;
  call->call_ = context->c_call();
  grpc_call_ref(call->call_);
  call->open_ = open;
  call->access_ = access;
  call->info_ = std::move(info);
  call->self_ = call;
  open->Add(call);
  return call;
}

template <typename OutboxType>
StreamCallOf<OutboxType>::~StreamCallOf() {
  grpc_call_unref(call_);
}

template <typename OutboxType>
void StreamCallOf<OutboxType>::OnDone() {
  open_->Remove(this);
  self_.reset();
}

// The context may be gone by now; the reference to the call is not.
template <typename OutboxType>
void StreamCallOf<OutboxType>::AbortCall() {
  grpc_call_cancel(call_, nullptr);
}

template <typename OutboxType>
void StreamCallOf<OutboxType>::OnResult(const v1::GenerateResponse& result, const RunStats& stats) {
  access_->Write(info_, nullptr, stats);
  StreamOf<OutboxType>::OnResult(result, stats);
}

template <typename OutboxType>
void StreamCallOf<OutboxType>::OnFailure(const Failure& failure, const RunStats& stats) {
  access_->Write(info_, &failure, stats);
  StreamOf<OutboxType>::OnFailure(failure, stats);
}

template <typename OutboxType>
void StreamCallOf<OutboxType>::StartWrite(const typename OutboxType::Event& event) {
  if (!id_sent_) {
    SendRequestId(context_, info_.request_id);
    id_sent_ = true;
  }
  writing_ = SerializeMessage(event);
  grpc::ServerWriteReactor<grpc::ByteBuffer>::StartWrite(&writing_);
}

template <typename OutboxType>
void StreamCallOf<OutboxType>::FinishCall(const Failure* failure) {
  Finish(EndStatus(context_, failure, info_.request_id));
}

template class StreamCallOf<Outbox>;
template class StreamCallOf<InspectionOutbox>;

}  // namespace sparsed::server
