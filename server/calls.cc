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

std::shared_ptr<StreamCall> StreamCall::Create(grpc::CallbackServerContext* context,
                                               const AccessLog* access, OpenStreams* open,
                                               CallInfo info) {
  std::shared_ptr<StreamCall> call(new StreamCall());
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

StreamCall::~StreamCall() { grpc_call_unref(call_); }

void StreamCall::OnDone() {
  open_->Remove(this);
  self_.reset();
}

// The context may be gone by now; the reference to the call is not.
void StreamCall::AbortCall() { grpc_call_cancel(call_, nullptr); }

void StreamCall::OnResult(const v1::GenerateResponse& result, const RunStats& stats) {
  access_->Write(info_, nullptr, stats);
  Stream::OnResult(result, stats);
}

void StreamCall::OnFailure(const Failure& failure, const RunStats& stats) {
  access_->Write(info_, &failure, stats);
  Stream::OnFailure(failure, stats);
}

void StreamCall::OnWriteDone(bool ok) { WriteDone(ok); }

void StreamCall::StartWrite(const v1::StreamGenerateResponse& event) {
  if (!id_sent_) {
    SendRequestId(context_, info_.request_id);
    id_sent_ = true;
  }
  writing_ = SerializeMessage(event);
  grpc::ServerWriteReactor<grpc::ByteBuffer>::StartWrite(&writing_);
}

void StreamCall::FinishCall(const Failure* failure) {
  Finish(EndStatus(context_, failure, info_.request_id));
}

}  // namespace sparsed::server
