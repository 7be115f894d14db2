// What the Open Inference Protocol tells of the model: its tensors, its numbers, its place in the
// index. Pure.
#pragma once

#include <string>

#include "inference/grpc_service.pb.h"
#include "server/metrics.h"
#include "server/server_state.h"

namespace sparsed::server {

inference::ModelMetadataResponse InferMetadata(const std::string& model);
inference::ModelConfig InferConfig(const std::string& model);
inference::ModelStatistics InferStatistics(const std::string& model, const RequestTotals& totals);
// READY, or UNAVAILABLE and why.
inference::RepositoryIndexResponse::ModelIndex InferIndex(const std::string& model, Phase phase,
                                                          bool stalled);

}  // namespace sparsed::server
