#include "server/options_check.h"

#include <charconv>
#include <cmath>
#include <system_error>

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

engine::Remasking ReadRemasking(v1::Remasking remasking, const std::string& family,
                                Violations& violations) {
  switch (remasking) {
    case v1::REMASKING_UNSPECIFIED:
    case v1::REMASKING_LOW_CONFIDENCE:
      return engine::Remasking::kLowConfidence;
    case v1::REMASKING_RANDOM:
      return engine::Remasking::kRandom;
    default:
      break;
  }
  if (v1::Remasking_IsValid(remasking)) {
    violations.Add("sampling.remasking", v1::Remasking_Name(remasking),
                   " is Dream's; models of family ", family,
                   " take REMASKING_LOW_CONFIDENCE or REMASKING_RANDOM");
  } else {
    violations.Add("sampling.remasking", static_cast<int>(remasking), " is no known value");
  }
  return engine::Remasking::kLowConfidence;
}

void RefuseDreamOptions(const v1::SamplingOptions& options, const std::string& family,
                        Violations& violations) {
  const auto refuse = [&](bool present, const char* field) {
    if (present) {
      violations.Add(field, "is for Dream's samplers; the model is of family ", family);
    }
  };
  refuse(options.has_top_p(), "sampling.top_p");
  refuse(options.has_top_k(), "sampling.top_k");
  refuse(options.has_algorithm_temperature(), "sampling.algorithm_temperature");
}

// Block length and steps against the canvas, which is not empty.
void ReadSchedule(const v1::SamplingOptions& options, uint64_t canvas_tokens,
                  engine::SamplingParams& params, Violations& violations) {
  const uint64_t default_block =
      canvas_tokens % kDefaultBlockLength == 0 ? kDefaultBlockLength : canvas_tokens;
  const uint64_t block = options.has_block_length() ? options.block_length() : default_block;
  const uint64_t steps = options.has_steps() ? options.steps() : canvas_tokens;
  const bool block_ok = block >= 1 && block <= canvas_tokens && canvas_tokens % block == 0;
  if (!block_ok) {
    violations.Add("sampling.block_length", block, " does not divide the canvas of ", canvas_tokens,
                   " tokens");
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

}  // namespace

engine::SamplingParams ReadSampling(const v1::SamplingOptions& options, int64_t canvas_tokens,
                                    uint64_t default_seed, const engine::ModelInfo& model,
                                    Violations& violations) {
  engine::SamplingParams params;
  if (canvas_tokens > 0) {
    ReadSchedule(options, static_cast<uint64_t>(canvas_tokens), params, violations);
  }
  params.temperature =
      options.has_temperature() ? options.temperature() : model.default_temperature;
  CheckRange("sampling.temperature", params.temperature, 0, kMaxTemperature, violations);
  params.cfg_scale = options.cfg_scale();
  CheckRange("sampling.cfg_scale", params.cfg_scale, 0, kMaxCfgScale, violations);
  params.seed = options.has_seed() ? options.seed() : default_seed;
  params.remasking = ReadRemasking(options.remasking(), model.family, violations);
  params.stop_at_end = !options.has_stop_at_end() || options.stop_at_end();
  RefuseDreamOptions(options, model.family, violations);
  return params;
}

engine::SparseParams ReadSparse(const v1::SparseOptions& options, Violations& violations) {
  engine::SparseParams params;
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
    if (!(select > 0 && select <= 1)) {
      violations.Add("sparse.select", select, " is not a number above 0 and at most 1");
    }
    params.select = WidenDecimal(select);
  }
  if (options.has_block_size()) {
    const uint32_t size = options.block_size();
    if (size != 32 && size != 64 && size != 128) {
      violations.Add("sparse.block_size", size, " is not 32, 64 or 128");
    }
    params.block_size = static_cast<int32_t>(size);
  }
  if (!v1::SelectionScale_IsValid(options.scale())) {
    violations.Add("sparse.scale", static_cast<int>(options.scale()), " is no known value");
  } else if (options.scale() == v1::SELECTION_SCALE_N_HEADS) {
    params.scale = engine::SelectionScale::kNumHeads;
  }
  return params;
}

std::vector<std::string> ReadStops(const v1::SamplingOptions& options, bool infill,
                                   Violations& violations) {
  const int count = options.stop().size();
  if (infill && count > 0) violations.Add("sampling.stop", "cannot be used with infill");
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
