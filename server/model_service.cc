#include "server/model_service.h"

#include <chrono>
#include <optional>

#include "server/build_info.h"
#include "server/options_check.h"
#include "server/unary.h"
#include "server/validate.h"

namespace sparsed::server {
namespace {

void Describe(const ServedModel& model, bool ready, v1::Model* out) {
  const engine::ModelInfo& info = *model.info;
  out->set_name(model.name);
  out->set_family(info.family);
  out->set_parameters(info.parameters);
  out->set_layers(static_cast<uint32_t>(info.num_layers));
  out->set_heads(static_cast<uint32_t>(info.num_heads));
  out->set_kv_heads(static_cast<uint32_t>(info.num_kv_heads));
  out->set_head_dim(static_cast<uint32_t>(info.head_dim));
  out->set_vocabulary(static_cast<uint32_t>(info.vocab_size));
  out->set_max_tokens(static_cast<uint32_t>(info.max_tokens));
  out->set_mask_token_id(static_cast<uint32_t>(info.mask_token_id));
  out->set_dtype(info.dtype);
  out->set_device(model.device);
  const auto text = [&model](int32_t id) {
    return model.tokenizer->Decode({id}, /*keep_special=*/true);
  };
  out->set_mask_token(text(info.mask_token_id));
  for (const int32_t id : info.end_token_ids) {
    v1::Token* token = out->add_end_tokens();
    token->set_id(static_cast<uint32_t>(id));
    token->set_text(text(id));
  }
  out->set_hidden_size(static_cast<uint32_t>(info.hidden_size));
  out->set_ffn_size(static_cast<uint32_t>(info.ffn_size));
  out->set_tokenizer(model.tokenizer->Describe());
  out->set_chat_template(model.chat_template != nullptr);
  out->set_memory_bytes(model.memory_bytes);
  out->set_weights(model.weights);
  out->set_default_temperature(info.defaults.temperature);
  out->set_default_remasking(ToProto(info.defaults.remasking));
  out->set_default_top_p(info.defaults.top_p);
  out->set_default_top_k(static_cast<uint32_t>(info.defaults.top_k));
  out->set_default_algorithm_temperature(info.defaults.algorithm_temperature);
  out->set_ready(ready);
}

}  // namespace

grpc::ServerUnaryReactor* ModelService::ListModels(grpc::CallbackServerContext* context,
                                                   const grpc::ByteBuffer* bytes,
                                                   grpc::ByteBuffer* response) {
  const auto handle = [this](const v1::ListModelsRequest& request, v1::ListModelsResponse* answer,
                             const Caller& caller) -> std::optional<Failure> {
    if (!request.page_token().empty()) {
      return BadFields(
          OneViolation("page_token", "is none that this server gave; all models fit on one page"));
    }
    const ServedModel* model = parts_.state->model();
    if (model != nullptr && caller.MayUse(model->name)) {
      Describe(*model, parts_.state->phase() == Phase::kServing, answer->add_models());
    }
    return std::nullopt;
  };
  return AnswerUnary<v1::ListModelsRequest, v1::ListModelsResponse>(context, bytes, response,
                                                                    unary(), "ListModels", handle);
}

grpc::ServerUnaryReactor* ModelService::GetModel(grpc::CallbackServerContext* context,
                                                 const grpc::ByteBuffer* bytes,
                                                 grpc::ByteBuffer* response) {
  const auto handle = [this](const v1::GetModelRequest& request,
                             v1::GetModelResponse* answer) -> std::optional<Failure> {
    const ServedModel* model = parts_.state->model();
    if (model == nullptr) return Loading();
    if (auto unknown = CheckModelName(request.name(), *model)) return unknown;
    Describe(*model, parts_.state->phase() == Phase::kServing, answer->mutable_model());
    return std::nullopt;
  };
  return AnswerUnary<v1::GetModelRequest, v1::GetModelResponse>(context, bytes, response, unary(),
                                                                "GetModel", handle);
}

grpc::ServerUnaryReactor* ModelService::GetServerInfo(grpc::CallbackServerContext* context,
                                                      const grpc::ByteBuffer* bytes,
                                                      grpc::ByteBuffer* response) {
  const auto handle = [this](const v1::GetServerInfoRequest&,
                             v1::GetServerInfoResponse* answer) -> std::optional<Failure> {
    answer->set_version(Version());
    answer->set_commit(Commit());
    for (const auto& [name, limit] : parts_.limits) (*answer->mutable_limits())[name] = limit;
    if (const ServedModel* model = parts_.state->model()) {
      answer->set_device(model->device_description);
      (*answer->mutable_limits())["max_tokens"] = static_cast<uint64_t>(model->info->max_tokens);
    }
    const auto nanos =
        std::chrono::duration_cast<std::chrono::nanoseconds>(parts_.clock() - parts_.started)
            .count();
    answer->mutable_uptime()->set_seconds(nanos / 1000000000);
    answer->mutable_uptime()->set_nanos(static_cast<int32_t>(nanos % 1000000000));
    return std::nullopt;
  };
  return AnswerUnary<v1::GetServerInfoRequest, v1::GetServerInfoResponse>(
      context, bytes, response, unary(), "GetServerInfo", handle);
}

}  // namespace sparsed::server
