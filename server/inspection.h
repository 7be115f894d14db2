// An inspection between the wire and the engine: what is asked for, what is found. Pure.
// Next: engine/inspection.h, server/inspection_outbox.h
#pragma once

#include "engine/engine.h"
#include "server/violations.h"
#include "sparsed/v1/inspection.pb.h"

namespace sparsed::server {

// `steps`: denoising steps of the generation.
engine::InspectParams ReadInspection(const v1::InspectRequest& request, int32_t steps,
                                     const engine::ModelInfo& model, Violations& violations);

// What the first event says of a valid request that is inspected, without `accepted`.
v1::InspectionStarted DescribeInspection(const engine::Request& request,
                                         const engine::ModelInfo& model);

// What was found in the step's head number `index`.
v1::HeadPattern ToHeadPattern(const engine::InspectedStep& step, size_t index);

v1::StepKind ToProto(engine::StepKind kind);

}  // namespace sparsed::server
