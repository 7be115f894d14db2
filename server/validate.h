// Everything that can be wrong with a request is found here, before it is queued. Pure.
// Next: server/queue.h
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "server/errors.h"
#include "server/served_model.h"
#include "server/ticket.h"
#include "sparsed/v1/generation.pb.h"
#include "sparsed/v1/inspection.pb.h"

namespace sparsed::server {

// Fills *valid, or says all that is wrong: NOT_FOUND (another model), INVALID_ARGUMENT with every
// violation, FAILED_PRECONDITION (a conversation for a model without a chat template).
// inspect: what to inspect of the request, or null. default_seed: where the request names none.
std::optional<Failure> ToEngineRequest(const v1::GenerateRequest& request,
                                       const v1::InspectRequest* inspect, const ServedModel& model,
                                       uint64_t default_seed, ValidRequest* valid);

// Whether a request may ask for this model: by its name or by none.
std::optional<Failure> CheckModelName(const std::string& name, const ServedModel& model);

// At most 128 visible ASCII characters. The empty id is one: the server makes its own.
inline constexpr size_t kMaxRequestIdBytes = 128;
bool IsValidRequestId(const std::string& id);

}  // namespace sparsed::server
