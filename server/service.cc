#include "server/service.h"

#include <utility>

#include "engine/tokenizer/tokenizer.h"
#include "server/input.h"
#include "server/unary.h"
#include "server/validate.h"

namespace sparsed::server {
namespace {

std::optional<Failure> TokenizeInput(const v1::TokenizeRequest& request, const ServedModel& model,
                                     std::vector<int32_t>* ids) {
  if (auto unknown = CheckModelName(request.model(), model)) return unknown;
  Violations violations;
  if (request.has_chat()) {
    if (model.chat_template == nullptr) return NoChatTemplate(model.name);
    *ids = EncodeChat(request.chat(), "chat", model, violations);
  } else if (request.has_text()) {
    auto encoded = model.tokenizer->Encode(request.text(), engine::Tokenizer::Special::kParse);
    if (encoded.ok()) {
      *ids = *std::move(encoded);
    } else {
      violations.Add("text", std::string(encoded.status().message()));
    }
  } else {
    violations.Add("input", "is missing; text or chat is needed");
  }
  if (!violations.empty()) return BadFields(violations);
  return std::nullopt;
}

}  // namespace

CallInfo GenerationService::Describe(grpc::CallbackServerContext* context, const char* method,
                                     const v1::GenerateRequest& request) const {
  CallInfo info = parts_.entry->Describe(*context, "grpc", method);
  info.generation = true;
  const std::string& wanted_id = request.request_id();
  if (!wanted_id.empty() && IsValidRequestId(wanted_id)) info.request_id = wanted_id;
  return info;
}

grpc::ServerUnaryReactor* GenerationService::Generate(grpc::CallbackServerContext* context,
                                                      const grpc::ByteBuffer* bytes,
                                                      grpc::ByteBuffer* response) {
  v1::StreamGenerateRequest request;
  std::optional<Failure> failure = ParseMessage(*bytes, request.mutable_request());
  CallInfo info = Describe(context, "Generate", request.request());
  if (auto refused = parts_.entry->Authenticate(*context, info)) failure = std::move(refused);
  if (!failure) failure = parts_.entry->Authorize(info.caller, request.request().model());
  const auto call = UnaryCall::Create(context, response, parts_.access, info);
  parts_.submitter->Submit(request, std::move(failure), {info, context->deadline(), call});
  return call.get();
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* GenerationService::StreamGenerate(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* bytes) {
  v1::StreamGenerateRequest request;
  std::optional<Failure> failure = ParseMessage(*bytes, &request);
  CallInfo info = Describe(context, "StreamGenerate", request.request());
  if (auto refused = parts_.entry->Authenticate(*context, info)) failure = std::move(refused);
  if (!failure) failure = parts_.entry->Authorize(info.caller, request.request().model());
  const auto call = StreamCall::Create(context, parts_.access, parts_.open_streams, info);
  const auto accepted =
      parts_.submitter->Submit(request, std::move(failure), {info, context->deadline(), call});
  if (accepted) call->Accept(*accepted);
  return call.get();
}

grpc::ServerUnaryReactor* GenerationService::Tokenize(grpc::CallbackServerContext* context,
                                                      const grpc::ByteBuffer* bytes,
                                                      grpc::ByteBuffer* response) {
  const auto handle = [this](const v1::TokenizeRequest& request, v1::TokenizeResponse* answer) {
    const ServedModel* model = parts_.state->model();
    if (model == nullptr) return std::optional<Failure>(Loading());
    std::vector<int32_t> ids;
    std::optional<Failure> failure = TokenizeInput(request, *model, &ids);
    for (const int32_t id : ids) {
      answer->add_token_ids(static_cast<uint32_t>(id));
      answer->add_pieces(engine::ToValidUtf8(model->tokenizer->Bytes(id, true)));
    }
    return failure;
  };
  return AnswerUnary<v1::TokenizeRequest, v1::TokenizeResponse>(context, bytes, response, unary(),
                                                                "Tokenize", handle);
}

grpc::ServerUnaryReactor* GenerationService::Detokenize(grpc::CallbackServerContext* context,
                                                        const grpc::ByteBuffer* bytes,
                                                        grpc::ByteBuffer* response) {
  const auto handle = [this](const v1::DetokenizeRequest& request,
                             v1::DetokenizeResponse* answer) -> std::optional<Failure> {
    const ServedModel* model = parts_.state->model();
    if (model == nullptr) return Loading();
    if (auto unknown = CheckModelName(request.model(), *model)) return unknown;
    Violations violations;
    std::vector<int32_t> ids;
    for (const uint32_t id : request.token_ids()) {
      if (id >= static_cast<uint32_t>(model->info->vocab_size)) {
        violations.Add(absl::StrCat("token_ids[", ids.size(), "]"), id,
                       " is not below the vocabulary size ", model->info->vocab_size);
      }
      ids.push_back(static_cast<int32_t>(id));
    }
    if (!violations.empty()) return BadFields(violations);
    answer->set_text(model->tokenizer->Decode(ids, request.keep_special()));
    return std::nullopt;
  };
  return AnswerUnary<v1::DetokenizeRequest, v1::DetokenizeResponse>(context, bytes, response,
                                                                    unary(), "Detokenize", handle);
}

}  // namespace sparsed::server
