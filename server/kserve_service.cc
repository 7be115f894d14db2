#include "server/kserve_service.h"

#include <memory>
#include <optional>
#include <string>

#include "server/build_info.h"
#include "server/calls.h"
#include "server/kserve_model.h"
#include "server/kserve_stream.h"
#include "server/kserve_tensors.h"
#include "server/validate.h"

namespace sparsed::server {
namespace {

// The model of this name, and a version that there is.
std::optional<Failure> CheckModel(const std::string& name, const std::string& version,
                                  const ServerState& state) {
  const ServedModel* model = state.model();
  if (model == nullptr) return Loading();
  if (auto unknown = CheckModelName(name, *model)) return unknown;
  const bool known = version.empty() || version == std::string(1, kModelVersion);
  if (!known) return UnknownModel(name + " version " + version, name);
  return std::nullopt;
}

}  // namespace

grpc::ServerUnaryReactor* KserveService::ServerLive(Context* context, const Bytes* in, Bytes* out) {
  const auto handle = [this](const inference::ServerLiveRequest&,
                             inference::ServerLiveResponse* answer) -> std::optional<Failure> {
    answer->set_live(parts_.state->phase() != Phase::kFailed && !parts_.state->stalled());
    return std::nullopt;
  };
  return AnswerUnary<inference::ServerLiveRequest, inference::ServerLiveResponse>(
      context, in, out, unary(), "ServerLive", handle);
}

grpc::ServerUnaryReactor* KserveService::ServerReady(Context* context, const Bytes* in,
                                                     Bytes* out) {
  const auto handle = [this](const inference::ServerReadyRequest&,
                             inference::ServerReadyResponse* answer) -> std::optional<Failure> {
    answer->set_ready(parts_.state->ready());
    return std::nullopt;
  };
  return AnswerUnary<inference::ServerReadyRequest, inference::ServerReadyResponse>(
      context, in, out, unary(), "ServerReady", handle);
}

grpc::ServerUnaryReactor* KserveService::ModelReady(Context* context, const Bytes* in, Bytes* out) {
  const auto handle = [this](const inference::ModelReadyRequest& request,
                             inference::ModelReadyResponse* answer) -> std::optional<Failure> {
    const auto unknown = CheckModel(request.name(), request.version(), *parts_.state);
    answer->set_ready(!unknown && parts_.state->ready());
    return std::nullopt;
  };
  return AnswerUnary<inference::ModelReadyRequest, inference::ModelReadyResponse>(
      context, in, out, unary(), "ModelReady", handle);
}

grpc::ServerUnaryReactor* KserveService::ServerMetadata(Context* context, const Bytes* in,
                                                        Bytes* out) {
  const auto handle = [](const inference::ServerMetadataRequest&,
                         inference::ServerMetadataResponse* answer) -> std::optional<Failure> {
    answer->set_name("sparsed");
    answer->set_version(Version());
    answer->add_extensions("model_configuration");
    answer->add_extensions("statistics");
    return std::nullopt;
  };
  return AnswerUnary<inference::ServerMetadataRequest, inference::ServerMetadataResponse>(
      context, in, out, unary(), "ServerMetadata", handle);
}

grpc::ServerUnaryReactor* KserveService::ModelMetadata(Context* context, const Bytes* in,
                                                       Bytes* out) {
  const auto handle = [this](const inference::ModelMetadataRequest& request,
                             inference::ModelMetadataResponse* answer) -> std::optional<Failure> {
    if (auto unknown = CheckModel(request.name(), request.version(), *parts_.state)) return unknown;
    *answer = InferMetadata(parts_.state->model()->name);
    return std::nullopt;
  };
  return AnswerUnary<inference::ModelMetadataRequest, inference::ModelMetadataResponse>(
      context, in, out, unary(), "ModelMetadata", handle);
}

grpc::ServerUnaryReactor* KserveService::ModelInfer(Context* context, const Bytes* in, Bytes* out) {
  CallInfo info = parts_.entry->Describe(*context, "kserve", "ModelInfer");
  info.generation = true;
  inference::ModelInferRequest request;
  InferCall infer;
  std::optional<Failure> failure = parts_.entry->Authenticate(*context, info);
  if (!failure) failure = ParseMessage(*in, &request);
  if (!failure) failure = parts_.entry->Authorize(info.caller, request.model_name());
  if (!failure) failure = CheckModel(request.model_name(), request.model_version(), *parts_.state);
  if (!failure) failure = ParseInfer(request, &infer);
  if (!request.id().empty() && IsValidRequestId(request.id())) info.request_id = request.id();
  if (!failure && infer.stream) {
    failure = BadFields(OneViolation("stream", "needs ModelStreamInfer"));
  }
  const auto format = [id = request.id()](const v1::GenerateResponse& result) {
    return SerializeMessage(InferResponse(result.model(), id, result.text(), true));
  };
  const auto call = UnaryCall::Create(context, out, parts_.access, info, format);
  v1::StreamGenerateRequest wanted;
  *wanted.mutable_request() = std::move(infer.request);
  parts_.submitter->Submit(wanted, std::move(failure), {info, context->deadline(), call});
  return call.get();
}

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* KserveService::ModelStreamInfer(
    Context* context) {
  CallInfo info = parts_.entry->Describe(*context, "kserve", "ModelStreamInfer");
  info.generation = true;
  const std::optional<Failure> refused = parts_.entry->Authenticate(*context, info);
  if (refused) parts_.access->CountRejection(*refused);
  return InferStream::Start(
      context, {parts_.state, parts_.submitter, parts_.access, parts_.entry, parts_.open_streams},
      info, refused);
}

grpc::ServerUnaryReactor* KserveService::ModelConfig(Context* context, const Bytes* in,
                                                     Bytes* out) {
  const auto handle = [this](const inference::ModelConfigRequest& request,
                             inference::ModelConfigResponse* answer) -> std::optional<Failure> {
    if (auto unknown = CheckModel(request.name(), request.version(), *parts_.state)) return unknown;
    *answer->mutable_config() = InferConfig(parts_.state->model()->name);
    return std::nullopt;
  };
  return AnswerUnary<inference::ModelConfigRequest, inference::ModelConfigResponse>(
      context, in, out, unary(), "ModelConfig", handle);
}

grpc::ServerUnaryReactor* KserveService::ModelStatistics(Context* context, const Bytes* in,
                                                         Bytes* out) {
  const auto handle = [this](const inference::ModelStatisticsRequest& request,
                             inference::ModelStatisticsResponse* answer) -> std::optional<Failure> {
    if (auto unknown = CheckModel(request.name(), request.version(), *parts_.state)) return unknown;
    *answer->add_model_stats() =
        InferStatistics(parts_.state->model()->name, parts_.metrics->Totals());
    return std::nullopt;
  };
  return AnswerUnary<inference::ModelStatisticsRequest, inference::ModelStatisticsResponse>(
      context, in, out, unary(), "ModelStatistics", handle);
}

grpc::ServerUnaryReactor* KserveService::RepositoryIndex(Context* context, const Bytes* in,
                                                         Bytes* out) {
  const auto handle = [this](const inference::RepositoryIndexRequest& request,
                             inference::RepositoryIndexResponse* answer,
                             const Caller& caller) -> std::optional<Failure> {
    if (!request.repository_name().empty()) {
      return BadFields(OneViolation("repository_name", "is none; the only one has no name"));
    }
    const ServedModel* model = parts_.state->model();
    if (model == nullptr || !caller.MayUse(model->name)) return std::nullopt;
    if (request.ready() && !parts_.state->ready()) return std::nullopt;
    *answer->add_models() = InferIndex(model->name, parts_.state->phase(), parts_.state->stalled());
    return std::nullopt;
  };
  return AnswerUnary<inference::RepositoryIndexRequest, inference::RepositoryIndexResponse>(
      context, in, out, unary(), "RepositoryIndex", handle);
}

}  // namespace sparsed::server
