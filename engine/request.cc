#include "engine/request.h"

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/step_scheduler.h"

namespace sparsed::engine {
namespace {

constexpr float kMaxTemperature = 100;
constexpr float kMaxCfgScale = 100;

class Violations {
 public:
  template <typename... Parts>
  void Add(const std::string& field, const Parts&... description) {
    list_.push_back({field, absl::StrCat(description...)});
  }
  std::vector<FieldViolation> Take() { return std::move(list_); }

 private:
  std::vector<FieldViolation> list_;
};

// The canvas lists ascending positions of the sequence, and the mask token stands there and nowhere
// else.
void CheckIds(const Request& request, const ModelInfo& model, Violations& violations) {
  const int64_t num_tokens = static_cast<int64_t>(request.ids.size());
  std::vector<bool> is_canvas(request.ids.size(), false);
  int64_t previous = -1;
  for (const int32_t position : request.canvas) {
    if (position <= previous || position >= num_tokens) {
      violations.Add("sampling.gen_length", "canvas position ", position,
                     " is not above the one before it and below ", num_tokens, " tokens");
      return;
    }
    is_canvas[position] = true;
    previous = position;
  }
  if (model.predicts_next && request.canvas.size() > 0 && request.canvas.front() == 0) {
    violations.Add("infill.parts", "a hole at the very start; models of family ", model.family,
                   " predict each token from the one before it, so the first must be given");
  }
  for (int64_t i = 0; i < num_tokens; ++i) {
    const int32_t id = request.ids[i];
    if (id < 0 || id >= model.vocab_size) {
      violations.Add("token_ids", "id ", id, " at position ", i, " is not in [0, ",
                     model.vocab_size, ")");
      return;
    }
    if (is_canvas[i] != (id == model.mask_token_id)) {
      violations.Add("token_ids", is_canvas[i] ? "canvas position " : "position ", i, " holds id ",
                     id, is_canvas[i] ? ", not the mask token " : ", the mask token ",
                     model.mask_token_id, is_canvas[i] ? "" : ", which only the canvas may hold");
      return;
    }
  }
}

void CheckLengths(const Request& request, const ModelInfo& model, Violations& violations) {
  const size_t num_tokens = request.ids.size();
  const size_t gen_length = request.canvas.size();
  if (gen_length == 0) {
    violations.Add("sampling.gen_length", "0 canvas tokens; at least 1 is needed");
  }
  if (num_tokens <= gen_length) {
    violations.Add("token_ids", "the prompt is empty; at least 1 token is needed");
  }
  if (num_tokens > static_cast<size_t>(model.max_tokens)) {
    violations.Add("sampling.gen_length", num_tokens - gen_length, " prompt tokens and ",
                   gen_length, " canvas tokens make ", num_tokens,
                   "; the model's limit for both together is ", model.max_tokens);
  }
}

void CheckSchedule(const SamplingParams& sampling, int32_t gen_length, Violations& violations) {
  if (sampling.steps < 1 || sampling.steps > gen_length) {
    violations.Add("sampling.steps", sampling.steps, " is not in [1, ", gen_length,
                   "], the upper limit being gen_length");
  }
  if (sampling.block_length < 1 || sampling.block_length > gen_length ||
      gen_length % sampling.block_length != 0) {
    violations.Add("sampling.block_length", sampling.block_length,
                   " is not a divisor of gen_length, which is ", gen_length);
    return;
  }
  const int32_t blocks = gen_length / sampling.block_length;
  if (blocks > 1 && IsDreamRule(sampling.remasking)) {
    violations.Add(
        "sampling.block_length", sampling.block_length,
        " makes decoding blocks, which Dream's rules do not know: it must be gen_length, ",
        gen_length);
    return;
  }
  if (sampling.steps % blocks != 0) {
    violations.Add("sampling.steps", sampling.steps, " is not a multiple of the ", blocks,
                   " decoding blocks (gen_length ", gen_length, " / block_length ",
                   sampling.block_length, ")");
  }
}

// False for NaN as well.
bool InRange(double value, double low, double high) { return value >= low && value <= high; }

// Of what must not be 0.
void CheckShare(const char* field, double value, Violations& violations) {
  if (!(value > 0 && value <= 1)) violations.Add(field, value, " is not in (0, 1]");
}

void CheckThreshold(const SamplingParams& sampling, Violations& violations) {
  if (!sampling.confidence_threshold) return;
  CheckShare("sampling.confidence_threshold", *sampling.confidence_threshold, violations);
  if (!RanksByProbability(sampling.remasking)) {
    violations.Add("sampling.confidence_threshold",
                   "is for the rules low_confidence and maskgit_plus of remasking only");
  }
  if (sampling.algorithm_temperature != 0) {
    violations.Add("sampling.confidence_threshold", "cannot be used with algorithm_temperature");
  }
}

void CheckRules(const SamplingParams& sampling, Violations& violations) {
  const bool dream = IsDreamRule(sampling.remasking);
  const auto only = [&](bool set, bool allowed, const char* field, const char* rules) {
    if (set && !allowed) violations.Add(field, "is for ", rules, " rules of remasking only");
  };
  only(sampling.top_p != 1, dream, "sampling.top_p", "Dream's");
  only(sampling.top_k != 0, dream, "sampling.top_k", "Dream's");
  only(sampling.algorithm_temperature != 0, dream, "sampling.algorithm_temperature", "Dream's");
  only(sampling.logits_eos_inf, !dream, "sampling.logits_eos_inf", "LLaDA's");
  only(sampling.confidence_eos_eot_inf, !dream, "sampling.confidence_eos_eot_inf", "LLaDA's");
  CheckShare("sampling.top_p", sampling.top_p, violations);
  if (sampling.top_k < 0) {
    violations.Add("sampling.top_k", sampling.top_k, " is below 0");
  }
  if (!InRange(sampling.algorithm_temperature, 0, kMaxTemperature)) {
    violations.Add("sampling.algorithm_temperature", sampling.algorithm_temperature,
                   " is not in [0, ", kMaxTemperature, "]");
  }
}

// Nothing is drawn that an option could filter, and no text ends before its last token.
void CheckTargets(const Request& request, const ModelInfo& model, Violations& violations) {
  const std::vector<int32_t>& targets = request.target_ids;
  if (targets.empty()) return;
  if (targets.size() != request.canvas.size()) {
    violations.Add("target_ids", targets.size(), " ids; the canvas takes ", request.canvas.size());
  }
  for (size_t i = 0; i < targets.size(); ++i) {
    if (targets[i] >= 0 && targets[i] < model.vocab_size && targets[i] != model.mask_token_id) {
      continue;
    }
    violations.Add(absl::StrCat("target_ids[", i, "]"), targets[i], " is not in [0, ",
                   model.vocab_size, ") without the mask token ", model.mask_token_id);
    break;
  }
  const SamplingParams& sampling = request.sampling;
  const auto refuse = [&violations](bool set, const char* field) {
    if (set) violations.Add(field, "cannot be used with target_ids");
  };
  refuse(sampling.temperature != 0, "sampling.temperature");
  refuse(sampling.top_p != 1, "sampling.top_p");
  refuse(sampling.top_k != 0, "sampling.top_k");
  refuse(sampling.logits_eos_inf, "sampling.logits_eos_inf");
  refuse(sampling.confidence_eos_eot_inf, "sampling.confidence_eos_eot_inf");
  refuse(sampling.stop_at_end, "sampling.stop_at_end");
}

void CheckScales(const Request& request, Violations& violations) {
  const SamplingParams& sampling = request.sampling;
  if (!InRange(sampling.temperature, 0, kMaxTemperature)) {
    violations.Add("sampling.temperature", sampling.temperature, " is not in [0, ", kMaxTemperature,
                   "]");
  }
  if (!InRange(sampling.cfg_scale, 0, kMaxCfgScale)) {
    violations.Add("sampling.cfg_scale", sampling.cfg_scale, " is not in [0, ", kMaxCfgScale, "]");
  }
  CheckRules(sampling, violations);
  CheckThreshold(sampling, violations);
  const SparseParams& sparse = request.sparse;
  if (!InRange(sparse.skip, 0, 1)) {
    violations.Add("sparse.skip", sparse.skip, " is not in [0, 1]");
  }
  if (sparse.select) CheckShare("sparse.select", *sparse.select, violations);
  if (sparse.switch_overlap) {
    CheckShare("sparse.switch_overlap", *sparse.switch_overlap, violations);
  }
  if (sparse.block_size.has_value() && *sparse.block_size != 32 && *sparse.block_size != 64 &&
      *sparse.block_size != 128) {
    violations.Add("sparse.block_size", *sparse.block_size, " is not 32, 64 or 128");
  }
}

void CheckRefreshes(const Request& request, Violations& violations) {
  const SparseParams& sparse = request.sparse;
  const size_t count = sparse.refresh_steps.size();
  if (count > SparseParams::kMaxRefreshSteps) {
    violations.Add("sparse.refresh_steps", count, " steps; at most ",
                   SparseParams::kMaxRefreshSteps, " are allowed");
    return;
  }
  const bool skip_ok = InRange(sparse.skip, 0, 1);
  const int32_t select_step = skip_ok ? SelectStep(request.sampling.steps, sparse.skip) : 0;
  for (size_t i = 0; i < count; ++i) {
    const int32_t step = sparse.refresh_steps[i];
    if (step > select_step && step < request.sampling.steps) continue;
    violations.Add(absl::StrCat("sparse.refresh_steps[", i, "]"), step,
                   " is not above the step that selects first, ", select_step,
                   ", and below sampling.steps, ", request.sampling.steps);
  }
  if (sparse.refresh_every < 0) {
    violations.Add("sparse.refresh_every", sparse.refresh_every, " is below 0");
  }
  if (sparse.refresh_every > 0 && count > 0) {
    violations.Add("sparse.refresh_every", "cannot be used with refresh_steps");
  }
  if (sparse.refresh_until) {
    CheckShare("sparse.refresh_until", *sparse.refresh_until, violations);
  }
  if (sparse.refresh_until && sparse.refresh_every == 0) {
    violations.Add("sparse.refresh_until", "is for refresh_every only");
  }
}

void CheckRecall(const SparseParams& sparse, Violations& violations) {
  if (sparse.recall_every < 0) {
    violations.Add("sparse.recall_every", sparse.recall_every, " is below 0");
  }
  if (sparse.recall_floor && !InRange(*sparse.recall_floor, 0, 1)) {
    violations.Add("sparse.recall_floor", *sparse.recall_floor, " is not in [0, 1]");
  }
  if (!sparse.recall_floor && sparse.below_floor != FloorAction::kRefresh) {
    violations.Add("sparse.below_floor", "is for recall_floor only");
  }
}

// What depends on the whole request, once all its numbers are right.
void CheckInspectedPlan(const Request& request, const ModelInfo& model, Violations& violations) {
  const SparsePlan plan = PlanSparse(request, model);
  if (!plan.used && request.inspect->steps.empty()) {
    violations.Add("steps",
                   "is empty, and every step of the request is full attention, so that none",
                   " selects a pattern: name steps, or let sparse.mode be SPARSED");
  }
  if (plan.num_blocks > InspectParams::kMaxBlocks) {
    violations.Add("sparse.block_size", plan.block_size, " makes ", plan.num_blocks,
                   " blocks; an inspection takes at most ", InspectParams::kMaxBlocks);
  }
}

}  // namespace

Request MakeRequest(const std::vector<int32_t>& prompt, int32_t gen_length, int32_t mask_token_id) {
  Request request;
  request.ids = prompt;
  request.ids.resize(prompt.size() + gen_length, mask_token_id);
  request.canvas.reserve(gen_length);
  for (int32_t i = 0; i < gen_length; ++i) {
    request.canvas.push_back(static_cast<int32_t>(prompt.size()) + i);
  }
  return request;
}

std::vector<FieldViolation> CheckInspection(const InspectParams& params, int32_t steps,
                                            const ModelInfo& model) {
  std::vector<FieldViolation> violations;
  const auto check = [&violations](const char* field, const std::vector<int32_t>& numbers,
                                   int32_t count, const char* what) {
    constexpr int kMostOfAField = 16;
    int wrong = 0;
    for (size_t i = 0; i < numbers.size() && wrong < kMostOfAField; ++i) {
      if (numbers[i] >= 0 && numbers[i] < count) continue;
      ++wrong;
      violations.push_back({absl::StrCat(field, "[", i, "]"),
                            absl::StrCat(numbers[i], " is not below the ", count, " ", what)});
    }
  };
  check("layers", params.layers, model.num_layers, "layers");
  check("heads", params.heads, model.num_heads, "heads");
  check("steps", params.steps, steps, "denoising steps");
  if (params.steps.size() > InspectParams::kMaxSteps) {
    violations.push_back({"steps", absl::StrCat(params.steps.size(), " steps; at most ",
                                                InspectParams::kMaxSteps, " are allowed")});
  }
  return violations;
}

std::vector<FieldViolation> CheckRequest(const Request& request, const ModelInfo& model) {
  Violations violations;
  CheckLengths(request, model, violations);
  CheckIds(request, model, violations);
  if (!request.canvas.empty()) {
    CheckSchedule(request.sampling, static_cast<int32_t>(request.canvas.size()), violations);
  }
  CheckScales(request, violations);
  CheckTargets(request, model, violations);
  CheckRefreshes(request, violations);
  CheckRecall(request.sparse, violations);
  std::vector<FieldViolation> list = violations.Take();
  if (!request.inspect) return list;
  for (FieldViolation& violation :
       CheckInspection(*request.inspect, request.sampling.steps, model)) {
    list.push_back(std::move(violation));
  }
  if (!list.empty()) return list;
  Violations of_plan;
  CheckInspectedPlan(request, model, of_plan);
  return of_plan.Take();
}

}  // namespace sparsed::engine
