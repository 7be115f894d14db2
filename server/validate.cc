#include "server/validate.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "server/input.h"
#include "server/inspection.h"
#include "server/options_check.h"
#include "server/violations.h"

namespace sparsed::server {
namespace {

// The canvas length that the request states, or 0 where it states none that is allowed.
int64_t ReadCanvasLength(const v1::GenerateRequest& request, const Input& input,
                         Violations& violations) {
  const v1::SamplingOptions& sampling = request.sampling();
  if (input.infill) {
    if (sampling.has_gen_length()) {
      violations.Add("sampling.gen_length", "cannot be used with infill, whose holes state it");
    }
    return input.hole_tokens();
  }
  if (!sampling.has_gen_length()) {
    return request.target_ids().empty() ? kDefaultGenLength : request.target_ids().size();
  }
  if (sampling.gen_length() == 0) {
    violations.Add("sampling.gen_length", "is 0; at least 1 is needed");
  }
  return sampling.gen_length();
}

void CheckRequestId(const std::string& id, Violations& violations) {
  if (IsValidRequestId(id)) return;
  violations.Add("request_id", id.size(), " bytes; it must be at most ", kMaxRequestIdBytes,
                 " visible ASCII characters");
}

// The sequence with a mask token at every canvas position.
void Assemble(const Input& input, const engine::ModelInfo& info, ValidRequest* valid) {
  std::vector<int32_t>& ids = valid->request.ids;
  for (const Piece& piece : input.pieces) {
    ids.insert(ids.end(), piece.ids.begin(), piece.ids.end());
    for (int64_t i = 0; i < piece.hole_tokens; ++i) {
      valid->request.canvas.push_back(static_cast<int32_t>(ids.size()));
      ids.push_back(info.mask_token_id);
    }
    if (input.infill || piece.hole_tokens > 0) {
      valid->parts.push_back({piece.text, static_cast<int32_t>(piece.hole_tokens)});
    }
  }
}

}  // namespace

bool IsValidRequestId(const std::string& id) {
  return id.size() <= kMaxRequestIdBytes &&
         std::all_of(id.begin(), id.end(), [](char c) { return c > ' ' && c <= '~'; });
}

std::optional<Failure> CheckModelName(const std::string& name, const ServedModel& model) {
  if (name.empty() || name == model.name) return std::nullopt;
  return UnknownModel(name, model.name);
}

std::optional<Failure> ToEngineRequest(const v1::GenerateRequest& request,
                                       const v1::InspectRequest* inspect, const ServedModel& model,
                                       uint64_t default_seed, ValidRequest* valid) {
  if (auto unknown = CheckModelName(request.model(), model)) return unknown;
  const v1::SamplingOptions& sampling = request.sampling();
  Violations violations;
  Input input = ReadInput(request, model, violations);
  const bool input_ok = violations.empty();
  const int64_t canvas_tokens = ReadCanvasLength(request, input, violations);
  valid->request.target_ids = ReadTargets(request, model, violations);
  const bool has_targets = !valid->request.target_ids.empty();
  valid->request.sampling =
      ReadSampling(sampling, canvas_tokens, has_targets, default_seed, *model.info, violations);
  valid->request.sparse = ReadSparse(request.sparse(), violations);
  valid->text_options.stop = ReadStops(sampling, input.infill, has_targets, violations);
  CheckRequestId(request.request_id(), violations);
  if (inspect != nullptr) {
    valid->request.inspect =
        ReadInspection(*inspect, valid->request.sampling.steps, *model.info, violations);
  }

  const int64_t max_tokens = model.info->max_tokens;
  const int64_t prompt_tokens = input_ok ? input.prompt_tokens() : 0;
  if (prompt_tokens + canvas_tokens > max_tokens) {
    const std::string field = canvas_tokens > max_tokens ? "sampling.gen_length" : input.field;
    violations.Add(input.infill ? "infill" : field, prompt_tokens, " prompt tokens and ",
                   canvas_tokens, " canvas tokens make ", prompt_tokens + canvas_tokens,
                   "; the model's limit is ", max_tokens);
    return ContextTooLong(violations, prompt_tokens, canvas_tokens, max_tokens);
  }
  if (!violations.empty()) return BadFields(violations);
  if (input.no_chat_template) return NoChatTemplate(model.name);

  if (!input.infill) input.pieces.push_back({"", {}, canvas_tokens});
  Assemble(input, *model.info, valid);
  valid->text_options.end_token_ids = model.info->end_token_ids;
  valid->text_options.stop_at_end = valid->request.sampling.stop_at_end;
  // The engine knows canvas positions, not holes: an end token in one hole says nothing of the
  // next.
  const auto is_hole = [](const Piece& piece) { return piece.hole_tokens > 0; };
  if (std::count_if(input.pieces.begin(), input.pieces.end(), is_hole) > 1) {
    valid->request.sampling.stop_at_end = false;
  }
  valid->infill = input.infill;
  valid->token_confidences = request.token_confidences() || has_targets;
  valid->priority = request.priority();
  const Violations rest(engine::CheckRequest(valid->request, *model.info));
  if (!rest.empty()) return BadFields(rest);
  return std::nullopt;
}

}  // namespace sparsed::server
