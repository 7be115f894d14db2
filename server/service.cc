#include "server/service.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "engine/tokenizer/tokenizer.h"
#include "server/input.h"
#include "server/step_work.h"
#include "server/unary.h"
#include "server/validate.h"

namespace sparsed::server {
namespace {

// Time that the client still gives; very long where it set no deadline.
std::chrono::system_clock::duration TimeLeft(const grpc::CallbackServerContext& context) {
  return context.deadline() - std::chrono::system_clock::now();
}

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

std::optional<Failure> GenerationService::MakeTicket(const grpc::CallbackServerContext& context,
                                                     const v1::GenerateRequest& request,
                                                     TimePoint arrival, Ticket* ticket) const {
  const ServedModel* model = parts_.state->model();
  if (model == nullptr) return Loading();
  if (auto failure = ToEngineRequest(request, *model, parts_.random(), &ticket->valid)) {
    return failure;
  }
  ticket->need = model->engine->Estimate(ticket->valid.request);
  if (auto failure = CheckFits(ticket->need, model->limits)) return failure;
  const auto left = TimeLeft(context);
  if (left <= left.zero()) return DeadlineInQueue();
  const Duration most_time = std::min<Duration>(left, parts_.max_request_time);
  ticket->model = model->name;
  ticket->arrival = arrival;
  ticket->deadline = arrival + most_time;
  const ValidRequest& valid = ticket->valid;
  const bool may_end_early = valid.request.sampling.stop_at_end || !valid.text_options.stop.empty();
  ticket->work = WorkOf(valid.request, *model->info, ticket->need.batch_tokens, may_end_early);
  ticket->least_seconds = parts_.costs->LeastSeconds(ticket->work);
  if (ticket->least_seconds > Seconds(most_time)) {
    return DeadlineTooShort(Seconds(most_time), ticket->least_seconds);
  }
  return std::nullopt;
}

template <typename Call>
void GenerationService::Submit(grpc::CallbackServerContext* context,
                               const v1::StreamGenerateRequest& request,
                               std::optional<Failure> failure,
                               const std::shared_ptr<Call>& call) const {
  const TimePoint arrival = parts_.clock();
  const std::string& wanted_id = request.request().request_id();
  CallInfo& info = call->info();
  if (!wanted_id.empty() && IsValidRequestId(wanted_id)) info.request_id = wanted_id;
  SendRequestId(context, info.request_id);
  Ticket ticket;
  ticket.request_id = info.request_id;
  ticket.trace_id = info.trace_id;
  ticket.span_id = info.span_id;
  if (!failure) failure = MakeTicket(*context, request.request(), arrival, &ticket);
  uint32_t position = 0;
  v1::Accepted accepted;
  if (!failure) {
    accepted.set_request_id(ticket.request_id);
    accepted.set_planned_steps(static_cast<uint32_t>(ticket.valid.request.sampling.steps));
    accepted.set_seed(ticket.valid.request.sampling.seed);
    ticket.wants_frames = request.frames();
    ticket.wants_progress = request.progress();
    ticket.sink = call;
    failure = parts_.queue->TryPush(ticket, &position);
  }
  if (failure) {
    parts_.access->CountRejection(*failure);
    RunStats stats;
    stats.total_seconds = Seconds(parts_.clock() - arrival);
    call->OnFailure(*failure, stats);
    return;
  }
  accepted.set_queue_position(position);
  call->Accept(accepted);
}

grpc::ServerUnaryReactor* GenerationService::Generate(grpc::CallbackServerContext* context,
                                                      const grpc::ByteBuffer* bytes,
                                                      grpc::ByteBuffer* response) {
  CallInfo info = parts_.entry->Describe(*context, "grpc", "Generate");
  info.generation = true;
  v1::StreamGenerateRequest request;
  std::optional<Failure> failure = parts_.entry->Authenticate(*context, info);
  if (!failure) failure = ParseMessage(*bytes, request.mutable_request());
  const auto call = UnaryCall::Create(context, response, parts_.access, std::move(info));
  Submit(context, request, std::move(failure), call);
  return call.get();
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* GenerationService::StreamGenerate(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* bytes) {
  CallInfo info = parts_.entry->Describe(*context, "grpc", "StreamGenerate");
  info.generation = true;
  v1::StreamGenerateRequest request;
  std::optional<Failure> failure = parts_.entry->Authenticate(*context, info);
  if (!failure) failure = ParseMessage(*bytes, &request);
  const auto call =
      StreamCall::Create(context, parts_.access, parts_.open_streams, std::move(info));
  Submit(context, request, std::move(failure), call);
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
