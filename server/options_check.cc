#include "server/options_check.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <iterator>
#include <limits>
#include <system_error>

#include "engine/presets.h"

namespace sparsed::server {
namespace {

constexpr float kMaxTemperature = 100;
constexpr float kMaxCfgScale = 100;

// NaN and infinities fail it, too.
void CheckRange(const std::string& field, float value, float low, float high,
                Violations& violations) {
  if (value >= low && value <= high) return;
  violations.Add(field, value, " is not a number from ", low, " to ", high);
}

void CheckShare(const std::string& field, float value, Violations& violations) {
  if (value > 0 && value <= 1) return;
  violations.Add(field, value, " is not a number above 0 and at most 1");
}

struct Rule {
  v1::Remasking wire;
  engine::Remasking engine;
};
constexpr Rule kRules[] = {
    {v1::REMASKING_LOW_CONFIDENCE, engine::Remasking::kLowConfidence},
    {v1::REMASKING_RANDOM, engine::Remasking::kRandom},
    {v1::REMASKING_ORIGIN, engine::Remasking::kOrigin},
    {v1::REMASKING_MASKGIT_PLUS, engine::Remasking::kMaskgitPlus},
    {v1::REMASKING_TOPK_MARGIN, engine::Remasking::kTopkMargin},
    {v1::REMASKING_ENTROPY, engine::Remasking::kEntropy},
};

engine::Remasking ReadRemasking(v1::Remasking remasking, engine::Remasking of_model,
                                Violations& violations) {
  for (const Rule& rule : kRules) {
    if (rule.wire == remasking) return rule.engine;
  }
  if (remasking != v1::REMASKING_UNSPECIFIED) {
    violations.Add("sampling.remasking", static_cast<int>(remasking), " is no known value");
  }
  return of_model;
}

// The options that only one family of rules knows, and their ranges.
void ReadRuleOptions(const v1::SamplingOptions& options, bool has_targets,
                     const engine::SamplingDefaults& defaults, engine::SamplingParams& params,
                     Violations& violations) {
  const bool dream = engine::IsDreamRule(params.remasking);
  if (dream && !has_targets) {
    params.top_p = defaults.top_p;
    params.top_k = defaults.top_k;
  }
  if (dream) params.algorithm_temperature = defaults.algorithm_temperature;
  const auto read = [&](bool present, bool known, const char* field, const char* rules) {
    if (present && !known) {
      violations.Add(field, "is for ", rules, " rules of remasking; this one is ",
                     dream ? "Dream's" : "LLaDA's");
    }
    return present && known;
  };
  if (read(options.has_top_p(), dream, "sampling.top_p", "Dream's")) {
    params.top_p = options.top_p();
    CheckShare("sampling.top_p", params.top_p, violations);
  }
  if (read(options.has_top_k(), dream, "sampling.top_k", "Dream's")) {
    constexpr uint32_t kAll = std::numeric_limits<int32_t>::max();
    params.top_k = static_cast<int32_t>(std::min(options.top_k(), kAll));
  }
  if (read(options.has_algorithm_temperature(), dream, "sampling.algorithm_temperature",
           "Dream's")) {
    params.algorithm_temperature = options.algorithm_temperature();
    CheckRange("sampling.algorithm_temperature", params.algorithm_temperature, 0, kMaxTemperature,
               violations);
  }
  params.logits_eos_inf =
      read(options.logits_eos_inf(), !dream, "sampling.logits_eos_inf", "LLaDA's");
  params.confidence_eos_eot_inf =
      read(options.confidence_eos_eot_inf(), !dream, "sampling.confidence_eos_eot_inf", "LLaDA's");
}

// Block length and steps against the canvas, which is not empty.
void ReadSchedule(const v1::SamplingOptions& options, uint64_t canvas_tokens,
                  engine::SamplingParams& params, Violations& violations) {
  const bool dream = engine::IsDreamRule(params.remasking);
  const uint64_t default_block =
      !dream && canvas_tokens % kDefaultBlockLength == 0 ? kDefaultBlockLength : canvas_tokens;
  const uint64_t block = options.has_block_length() ? options.block_length() : default_block;
  const uint64_t steps = options.has_steps() ? options.steps() : canvas_tokens;
  const bool block_ok = block >= 1 && block <= canvas_tokens && canvas_tokens % block == 0;
  if (!block_ok) {
    violations.Add("sampling.block_length", block, " does not divide the canvas of ", canvas_tokens,
                   " tokens");
  } else if (dream && block != canvas_tokens) {
    violations.Add("sampling.block_length", block, " is not the canvas length ", canvas_tokens,
                   "; Dream's rules of remasking know no decoding blocks");
  }
  if (steps < 1 || steps > canvas_tokens) {
    violations.Add("sampling.steps", steps, " is not from 1 to the canvas length ", canvas_tokens);
  } else if (block_ok && steps % (canvas_tokens / block) != 0) {
    violations.Add("sampling.steps", steps, " is not divisible by the number of decoding blocks ",
                   canvas_tokens / block);
  }
  params.block_length = static_cast<int32_t>(block);
  params.steps = static_cast<int32_t>(steps);
}

// What an int32 does not hold is larger than any number of steps, too.
int32_t ToStep(uint32_t step) {
  constexpr uint32_t kLargest = std::numeric_limits<int32_t>::max();
  return static_cast<int32_t>(std::min(step, kLargest));
}

// What the request's own options replace.
engine::SparseParams ReadPreset(const v1::SparseOptions& options, Violations& violations) {
  const bool sparsed = options.mode() == v1::SPARSE_MODE_SPARSED;
  switch (options.preset()) {
    case v1::SPARSE_PRESET_UNSPECIFIED:
      if (sparsed) return {};
      return engine::PresetParams(engine::SparsePreset::kBalanced);
    case v1::SPARSE_PRESET_EXACT:
      if (sparsed) violations.Add("sparse.preset", "EXACT cannot be used with sparse.mode SPARSED");
      return engine::PresetParams(engine::SparsePreset::kExact);
    case v1::SPARSE_PRESET_BALANCED:
      return engine::PresetParams(engine::SparsePreset::kBalanced);
    case v1::SPARSE_PRESET_FAST:
      return engine::PresetParams(engine::SparsePreset::kFast);
    default:
      violations.Add("sparse.preset", static_cast<int>(options.preset()), " is no known value");
      return {};
  }
}

// The engine compares the steps with those that there are.
void ReadRefreshes(const v1::SparseOptions& options, engine::SparseParams& params,
                   Violations& violations) {
  if (!options.refresh_steps().empty()) {
    params.refresh_every = 0;
    params.refresh_until.reset();
  }
  for (const uint32_t step : options.refresh_steps()) {
    params.refresh_steps.push_back(ToStep(step));
  }
  if (options.has_refresh_every()) {
    params.refresh_every = ToStep(options.refresh_every());
    if (params.refresh_every == 0) params.refresh_until.reset();
  }
  if (!options.has_refresh_until()) return;
  const float until = options.refresh_until();
  CheckShare("sparse.refresh_until", until, violations);
  params.refresh_until = WidenDecimal(until);
}

void ReadRecall(const v1::SparseOptions& options, engine::SparseParams& params,
                Violations& violations) {
  if (options.has_recall_every()) {
    if (options.recall_every() == 0) {
      violations.Add("sparse.recall_every", "is 0; at least 1 is needed");
    }
    params.recall_every = ToStep(options.recall_every());
  }
  if (options.has_recall_floor()) {
    CheckRange("sparse.recall_floor", options.recall_floor(), 0, 1, violations);
    params.recall_floor = WidenDecimal(options.recall_floor());
  }
  if (!v1::FloorAction_IsValid(options.below_floor())) {
    violations.Add("sparse.below_floor", static_cast<int>(options.below_floor()),
                   " is no known value");
  } else if (options.below_floor() != v1::FLOOR_ACTION_UNSPECIFIED && !options.has_recall_floor()) {
    violations.Add("sparse.below_floor", "is for recall_floor only");
  } else if (options.below_floor() == v1::FLOOR_ACTION_FULL) {
    params.below_floor = engine::FloorAction::kFull;
  }
}

}  // namespace

v1::Remasking ToProto(engine::Remasking remasking) {
  const auto* rule = std::find_if(std::begin(kRules), std::end(kRules),
                                  [&](const Rule& known) { return known.engine == remasking; });
  return rule->wire;
}

engine::SamplingParams ReadSampling(const v1::SamplingOptions& options, int64_t canvas_tokens,
                                    bool has_targets, uint64_t default_seed,
                                    const engine::ModelInfo& model, Violations& violations) {
  engine::SamplingParams params;
  params.remasking = ReadRemasking(options.remasking(), model.defaults.remasking, violations);
  if (canvas_tokens > 0) {
    ReadSchedule(options, static_cast<uint64_t>(canvas_tokens), params, violations);
  }
  params.temperature = has_targets ? 0 : model.defaults.temperature;
  if (options.has_temperature()) params.temperature = options.temperature();
  CheckRange("sampling.temperature", params.temperature, 0, kMaxTemperature, violations);
  params.cfg_scale = options.cfg_scale();
  CheckRange("sampling.cfg_scale", params.cfg_scale, 0, kMaxCfgScale, violations);
  params.seed = options.has_seed() ? options.seed() : default_seed;
  params.stop_at_end = options.has_stop_at_end() ? options.stop_at_end() : !has_targets;
  if (options.has_confidence_threshold()) {
    const float threshold = options.confidence_threshold();
    CheckShare("sampling.confidence_threshold", threshold, violations);
    params.confidence_threshold = threshold;
  }
  ReadRuleOptions(options, has_targets, model.defaults, params, violations);
  return params;
}

engine::SparseParams ReadSparse(const v1::SparseOptions& options, Violations& violations) {
  engine::SparseParams params = ReadPreset(options, violations);
  if (!v1::SparseMode_IsValid(options.mode())) {
    violations.Add("sparse.mode", static_cast<int>(options.mode()), " is no known value");
  } else if (options.mode() == v1::SPARSE_MODE_OFF) {
    params.mode = engine::SparseMode::kOff;
  } else if (options.mode() == v1::SPARSE_MODE_SPARSED) {
    params.mode = engine::SparseMode::kSparseD;
  }
  if (options.has_skip()) {
    CheckRange("sparse.skip", options.skip(), 0, 1, violations);
    params.skip = WidenDecimal(options.skip());
  }
  if (options.has_select()) {
    const float select = options.select();
    CheckShare("sparse.select", select, violations);
    params.select = WidenDecimal(select);
  }
  if (options.has_block_size()) {
    const uint32_t size = options.block_size();
    if (size != 32 && size != 64 && size != 128) {
      violations.Add("sparse.block_size", size, " is not 32, 64 or 128");
    }
    params.block_size = static_cast<int32_t>(size);
  }
  if (options.has_isolated()) params.isolated = options.isolated();
  if (!v1::HeadBudgets_IsValid(options.budgets())) {
    violations.Add("sparse.budgets", static_cast<int>(options.budgets()), " is no known value");
  } else if (options.budgets() == v1::HEAD_BUDGETS_BY_MASS) {
    params.budgets = engine::HeadBudgets::kByMass;
  } else if (options.budgets() == v1::HEAD_BUDGETS_UNIFORM) {
    params.budgets = engine::HeadBudgets::kUniform;
  }
  ReadRefreshes(options, params, violations);
  ReadRecall(options, params, violations);
  if (options.has_switch_overlap()) {
    const float overlap = options.switch_overlap();
    CheckShare("sparse.switch_overlap", overlap, violations);
    params.switch_overlap = WidenDecimal(overlap);
  }
  if (!v1::SelectionScale_IsValid(options.scale())) {
    violations.Add("sparse.scale", static_cast<int>(options.scale()), " is no known value");
  } else if (options.scale() == v1::SELECTION_SCALE_N_HEADS) {
    params.scale = engine::SelectionScale::kNumHeads;
  }
  return params;
}

std::vector<std::string> ReadStops(const v1::SamplingOptions& options, bool infill,
                                   bool has_targets, Violations& violations) {
  const int count = options.stop().size();
  if (infill && count > 0) violations.Add("sampling.stop", "cannot be used with infill");
  if (has_targets && count > 0) {
    violations.Add("sampling.stop", "cannot be used with target_ids");
  }
  if (count > kMaxStops) {
    violations.Add("sampling.stop", count, " strings; at most ", kMaxStops, " are allowed");
  }
  for (int i = 0; i < count; ++i) {
    const size_t bytes = options.stop(i).size();
    if (bytes >= 1 && bytes <= kMaxStopBytes) continue;
    violations.Add(absl::StrCat("sampling.stop[", i, "]"), bytes, " bytes; 1 to ", kMaxStopBytes,
                   " are allowed");
  }
  return {options.stop().begin(), options.stop().end()};
}

double WidenDecimal(float value) {
  if (!std::isfinite(value)) return value;
  char digits[64];
  const std::to_chars_result written = std::to_chars(digits, digits + sizeof(digits), value);
  double wide = value;
  std::from_chars(digits, written.ptr, wide);
  return wide;
}

}  // namespace sparsed::server
