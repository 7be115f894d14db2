#include "server/kserve_model.h"

#include <cmath>
#include <cstdint>

#include "server/kserve_tensors.h"

namespace sparsed::server {
namespace {

constexpr char kPlatform[] = "sparsed";

struct TensorRow {
  const char* name;
  const char* datatype;
  inference::DataType type;
  bool optional;
};
constexpr TensorRow kInputs[] = {{"text_input", "BYTES", inference::TYPE_STRING, false},
                                 {"stream", "BOOL", inference::TYPE_BOOL, true},
                                 {"sampling_parameters", "BYTES", inference::TYPE_STRING, true}};
constexpr TensorRow kOutput = {"text_output", "BYTES", inference::TYPE_STRING, false};

void Describe(const TensorRow& row, inference::ModelMetadataResponse::TensorMetadata* tensor) {
  tensor->set_name(row.name);
  tensor->set_datatype(row.datatype);
  tensor->add_shape(1);
}

void SetSum(const RequestTotals::Sum& sum, inference::StatisticDuration* out) {
  out->set_count(sum.count);
  out->set_ns(static_cast<uint64_t>(std::llround(sum.seconds * 1e9)));
}

}  // namespace

inference::ModelMetadataResponse InferMetadata(const std::string& model) {
  inference::ModelMetadataResponse metadata;
  metadata.set_name(model);
  metadata.add_versions(std::string(1, kModelVersion));
  metadata.set_platform(kPlatform);
  for (const TensorRow& row : kInputs) Describe(row, metadata.add_inputs());
  Describe(kOutput, metadata.add_outputs());
  return metadata;
}

inference::ModelConfig InferConfig(const std::string& model) {
  inference::ModelConfig config;
  config.set_name(model);
  config.set_platform(kPlatform);
  for (const TensorRow& row : kInputs) {
    inference::ModelInput* input = config.add_input();
    input->set_name(row.name);
    input->set_data_type(row.type);
    input->add_dims(1);
    input->set_optional(row.optional);
  }
  inference::ModelOutput* output = config.add_output();
  output->set_name(kOutput.name);
  output->set_data_type(kOutput.type);
  output->add_dims(1);
  config.mutable_model_transaction_policy()->set_decoupled(true);
  return config;
}

inference::ModelStatistics InferStatistics(const std::string& model, const RequestTotals& totals) {
  inference::ModelStatistics statistics;
  statistics.set_name(model);
  statistics.set_version(std::string(1, kModelVersion));
  statistics.set_inference_count(totals.succeeded.count);
  statistics.set_execution_count(totals.steps);
  inference::InferStatistics* sums = statistics.mutable_inference_stats();
  SetSum(totals.succeeded, sums->mutable_success());
  SetSum(totals.failed, sums->mutable_fail());
  SetSum(totals.waited, sums->mutable_queue());
  SetSum(totals.ran, sums->mutable_compute_infer());
  return statistics;
}

inference::RepositoryIndexResponse::ModelIndex InferIndex(const std::string& model, Phase phase,
                                                          bool stalled) {
  inference::RepositoryIndexResponse::ModelIndex index;
  index.set_name(model);
  index.set_version(std::string(1, kModelVersion));
  const bool ready = phase == Phase::kServing && !stalled;
  index.set_state(ready ? "READY" : "UNAVAILABLE");
  if (!ready) index.set_reason(stalled ? "stalled" : ServerState::Name(phase));
  return index;
}

}  // namespace sparsed::server
