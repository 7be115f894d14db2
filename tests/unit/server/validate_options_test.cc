#include <cmath>
#include <functional>
#include <limits>

#include "engine/presets.h"
#include "server/options_check.h"
#include "tests/unit/server/validate_fixture.h"

namespace sparsed::server {
namespace {

struct BadOption {
  const char* wrong;  // "field: description", its beginning
  std::function<void(v1::GenerateRequest&)> change;
};

v1::SamplingOptions& Sampling(v1::GenerateRequest& request) { return *request.mutable_sampling(); }
v1::SparseOptions& Sparse(v1::GenerateRequest& request) { return *request.mutable_sparse(); }

const float kNan = std::nanf("");
const float kInfinity = std::numeric_limits<float>::infinity();

}  // namespace

TEST_CASE_METHOD(ValidateFixture, "validate: defaults") {
  CHECK_FALSE(Check(Good()).has_value());
  const engine::SamplingParams& sampling = valid.request.sampling;
  CHECK(valid.canvas_tokens() == 128);
  CHECK(sampling.steps == 128);
  CHECK(sampling.block_length == 32);
  CHECK(sampling.temperature == 0);
  CHECK(sampling.cfg_scale == 0);
  CHECK(sampling.seed == 77);
  CHECK(sampling.remasking == engine::Remasking::kLowConfidence);
  CHECK(sampling.stop_at_end);
  CHECK(valid.text_options.stop_at_end);
  CHECK(valid.text_options.end_token_ids == std::vector<int32_t>{1, 4});
  const engine::SparseParams& sparse = valid.request.sparse;
  CHECK(sparse == engine::PresetParams(engine::SparsePreset::kBalanced));
  CHECK_FALSE(valid.request.sampling.confidence_threshold.has_value());
  CHECK(valid.request.target_ids.empty());
  CHECK(valid.priority == 0);
  CHECK_FALSE(valid.token_confidences);
}

TEST_CASE_METHOD(ValidateFixture, "validate: a preset is what options are by default") {
  using engine::PresetParams;
  using engine::SparsePreset;
  v1::GenerateRequest request = Good();
  v1::SparseOptions& sparse = *request.mutable_sparse();
  const auto read = [&] {
    CHECK_FALSE(Check(request).has_value());
    return valid.request.sparse;
  };
  sparse.set_preset(v1::SPARSE_PRESET_EXACT);
  CHECK(read() == PresetParams(SparsePreset::kExact));
  sparse.set_preset(v1::SPARSE_PRESET_FAST);
  CHECK(read() == PresetParams(SparsePreset::kFast));
  sparse.set_mode(v1::SPARSE_MODE_OFF);
  CHECK(read().mode == engine::SparseMode::kOff);

  sparse.set_mode(v1::SPARSE_MODE_SPARSED);
  engine::SparseParams expected = PresetParams(SparsePreset::kFast);
  expected.mode = engine::SparseMode::kSparseD;
  CHECK(read() == expected);
  sparse.clear_preset();  // the published method
  engine::SparseParams published;
  published.mode = engine::SparseMode::kSparseD;
  CHECK(read() == published);

  sparse.set_preset(v1::SPARSE_PRESET_FAST);
  sparse.set_select(0.4f);
  sparse.set_recall_every(3);
  expected.select = 0.4;
  expected.recall_every = 3;
  CHECK(read() == expected);
  sparse.set_refresh_every(0);
  expected.refresh_every = 0;
  expected.refresh_until.reset();
  CHECK(read() == expected);
  sparse.clear_refresh_every();
  // The preset's refreshes are replaced as a whole.
  sparse.add_refresh_steps(50);
  expected.refresh_every = 0;
  expected.refresh_until.reset();
  expected.refresh_steps = {50};
  CHECK(read() == expected);
}

TEST_CASE_METHOD(ValidateFixture, "validate: the checkpoint's temperature is the default") {
  info.defaults.temperature = 0.25f;
  CHECK_FALSE(Check(Good()).has_value());
  CHECK(valid.request.sampling.temperature == 0.25f);
  v1::GenerateRequest greedy = Good();
  Sampling(greedy).set_temperature(0);
  CHECK_FALSE(Check(greedy).has_value());
  CHECK(valid.request.sampling.temperature == 0);
}

TEST_CASE_METHOD(ValidateFixture, "validate: the checkpoint's rule and its options are defaults") {
  info.defaults.remasking = engine::Remasking::kEntropy;
  info.defaults.top_p = 0.9f;
  info.defaults.top_k = 50;
  info.defaults.algorithm_temperature = 0.2f;
  CHECK_FALSE(Check(Good()).has_value());
  const engine::SamplingParams& sampling = valid.request.sampling;
  CHECK(sampling.remasking == engine::Remasking::kEntropy);
  CHECK(sampling.block_length == 128);
  CHECK(sampling.top_p == 0.9f);
  CHECK(sampling.top_k == 50);
  CHECK(sampling.algorithm_temperature == 0.2f);
  v1::GenerateRequest request = Good();
  Sampling(request).set_top_p(1);
  Sampling(request).set_top_k(0);
  CHECK_FALSE(Check(request).has_value());
  CHECK(sampling.top_p == 1);
  CHECK(sampling.top_k == 0);
  Sampling(request).Clear();
  Sampling(request).set_remasking(v1::REMASKING_LOW_CONFIDENCE);
  CHECK_FALSE(Check(request).has_value());
  CHECK(sampling.block_length == 32);
  CHECK(sampling.top_p == 1);
}

TEST_CASE_METHOD(ValidateFixture, "validate: every option arrives") {
  v1::GenerateRequest request = Good();
  v1::SamplingOptions& sampling = Sampling(request);
  sampling.set_gen_length(48);
  sampling.set_block_length(24);
  sampling.set_steps(16);
  sampling.set_temperature(0.7f);
  sampling.set_seed(9);
  sampling.set_remasking(v1::REMASKING_RANDOM);
  sampling.set_cfg_scale(1.5f);
  sampling.set_stop_at_end(false);
  sampling.add_stop(std::string("\n\n"));
  v1::SparseOptions& sparse = Sparse(request);
  sparse.set_mode(v1::SPARSE_MODE_SPARSED);
  sparse.set_skip(0.1f);
  sparse.set_select(0.3f);
  sparse.set_block_size(64);
  sparse.set_scale(v1::SELECTION_SCALE_N_HEADS);
  sparse.set_refresh_every(3);
  sparse.set_refresh_until(0.6f);
  sparse.set_recall_every(2);
  sparse.set_recall_floor(0.9f);
  sparse.set_below_floor(v1::FLOOR_ACTION_FULL);
  sparse.set_switch_overlap(0.7f);
  sparse.set_isolated(false);
  sparse.set_budgets(v1::HEAD_BUDGETS_BY_MASS);
  request.set_request_id("a-b_c~1");
  request.set_priority(-3);
  request.set_token_confidences(true);
  CHECK_FALSE(Check(request).has_value());
  CHECK(valid.request.sampling.block_length == 24);
  CHECK(valid.request.sampling.steps == 16);
  CHECK(valid.request.sampling.temperature == 0.7f);
  CHECK(valid.request.sampling.seed == 9);
  CHECK(valid.request.sampling.remasking == engine::Remasking::kRandom);
  CHECK(valid.request.sampling.cfg_scale == 1.5f);
  CHECK_FALSE(valid.request.sampling.stop_at_end);
  CHECK_FALSE(valid.text_options.stop_at_end);
  CHECK(valid.text_options.stop == std::vector<std::string>{"\n\n"});
  CHECK(valid.request.sparse.mode == engine::SparseMode::kSparseD);
  CHECK(valid.request.sparse.skip == 0.1);
  CHECK(valid.request.sparse.select == 0.3);
  CHECK(valid.request.sparse.block_size == 64);
  CHECK(valid.request.sparse.scale == engine::SelectionScale::kNumHeads);
  CHECK(valid.request.sparse.refresh_every == 3);
  CHECK(valid.request.sparse.refresh_until == 0.6);
  CHECK(valid.request.sparse.recall_every == 2);
  CHECK(valid.request.sparse.recall_floor == 0.9);
  CHECK(valid.request.sparse.below_floor == engine::FloorAction::kFull);
  CHECK(valid.request.sparse.switch_overlap == 0.7);
  CHECK_FALSE(valid.request.sparse.isolated);
  CHECK(valid.request.sparse.budgets == engine::HeadBudgets::kByMass);
  CHECK(valid.priority == -3);
  CHECK(valid.token_confidences);
}

TEST_CASE_METHOD(ValidateFixture, "validate: Dream's rules and their options arrive") {
  v1::GenerateRequest request = Good();
  v1::SamplingOptions& sampling = Sampling(request);
  sampling.set_remasking(v1::REMASKING_ENTROPY);
  sampling.set_top_p(0.95f);
  sampling.set_top_k(std::numeric_limits<uint32_t>::max());
  sampling.set_algorithm_temperature(0.5f);
  CHECK_FALSE(Check(request).has_value());
  CHECK(valid.request.sampling.remasking == engine::Remasking::kEntropy);
  CHECK(valid.request.sampling.block_length == 128);
  CHECK(valid.request.sampling.top_p == 0.95f);
  CHECK(valid.request.sampling.top_k == std::numeric_limits<int32_t>::max());
  CHECK(valid.request.sampling.algorithm_temperature == 0.5f);
}

TEST_CASE_METHOD(ValidateFixture, "validate: the options about end tokens arrive") {
  v1::GenerateRequest request = Good();
  Sampling(request).set_logits_eos_inf(true);
  Sampling(request).set_confidence_eos_eot_inf(true);
  CHECK_FALSE(Check(request).has_value());
  CHECK(valid.request.sampling.logits_eos_inf);
  CHECK(valid.request.sampling.confidence_eos_eot_inf);
}

TEST_CASE_METHOD(ValidateFixture, "validate: a confidence threshold arrives as it is") {
  v1::GenerateRequest request = Good();
  Sampling(request).set_confidence_threshold(0.9f);
  CHECK_FALSE(Check(request).has_value());
  CHECK(valid.request.sampling.confidence_threshold == 0.9f);
}

TEST_CASE_METHOD(ValidateFixture,
                 "validate: targets state the canvas, and nothing is drawn or cut") {
  info.defaults.remasking = engine::Remasking::kEntropy;
  info.defaults.temperature = 0.4f;
  info.defaults.top_p = 0.9f;
  info.defaults.top_k = 50;
  v1::GenerateRequest request = Good();
  for (const uint32_t id : {9, 8, 1, 9, 7}) request.add_target_ids(id);
  CHECK_FALSE(Check(request).has_value());
  CHECK(valid.request.target_ids == std::vector<int32_t>{9, 8, 1, 9, 7});
  CHECK(valid.canvas_tokens() == 5);
  CHECK(valid.request.sampling.remasking == engine::Remasking::kEntropy);
  CHECK(valid.request.sampling.temperature == 0);
  CHECK(valid.request.sampling.top_p == 1);
  CHECK(valid.request.sampling.top_k == 0);
  CHECK_FALSE(valid.request.sampling.stop_at_end);
  CHECK_FALSE(valid.text_options.stop_at_end);
  CHECK(valid.token_confidences);
  Sampling(request).set_gen_length(5);
  Sampling(request).set_temperature(0);
  Sampling(request).set_stop_at_end(false);
  CHECK_FALSE(Check(request).has_value());

  const std::vector<BadOption> cases = {
      {"target_ids: 5 ids; the canvas takes 6", [](auto& r) { Sampling(r).set_gen_length(6); }},
      {"target_ids[5]: 4294967295 is not below",
       [](auto& r) { r.add_target_ids(std::numeric_limits<uint32_t>::max()); }},
      {"target_ids[2]: ", [](auto& r) { r.set_target_ids(2, kVocabulary); }},
      {"target_ids[1]: ", [](auto& r) { r.set_target_ids(1, kMask); }},
      {"sampling.temperature: cannot be used", [](auto& r) { Sampling(r).set_temperature(0.5f); }},
      {"sampling.top_p: cannot be used", [](auto& r) { Sampling(r).set_top_p(0.5f); }},
      {"sampling.top_k: cannot be used", [](auto& r) { Sampling(r).set_top_k(3); }},
      {"sampling.stop_at_end: cannot be used", [](auto& r) { Sampling(r).set_stop_at_end(true); }},
      {"sampling.stop: cannot be used", [](auto& r) { Sampling(r).add_stop(std::string("x")); }},
  };
  for (const BadOption& bad : cases) {
    v1::GenerateRequest wrong = Good();
    for (const uint32_t id : {9, 8, 1, 9, 7}) wrong.add_target_ids(id);
    bad.change(wrong);
    INFO(bad.wrong);
    CHECK(OnlyWrong(wrong).rfind(bad.wrong, 0) == 0);
  }

  // A template's holes state the canvas.
  v1::GenerateRequest infill;
  infill.mutable_infill()->add_parts()->set_text("a");
  infill.mutable_infill()->add_parts()->set_hole_tokens(2);
  infill.mutable_infill()->add_parts()->set_text("b");
  infill.mutable_infill()->add_parts()->set_hole_tokens(1);
  for (const uint32_t id : {9, 8}) infill.add_target_ids(id);
  CHECK(OnlyWrong(infill) == "target_ids: 2 ids; the canvas takes 3");
  infill.add_target_ids(7);
  CHECK_FALSE(Check(infill).has_value());
}

TEST_CASE_METHOD(ValidateFixture,
                 "validate: the default block is the canvas where 32 does not divide it") {
  v1::GenerateRequest request = Good();
  Sampling(request).set_gen_length(40);
  CHECK_FALSE(Check(request).has_value());
  CHECK(valid.request.sampling.block_length == 40);
}

TEST_CASE_METHOD(ValidateFixture, "validate: each bad option alone is named with value and limit") {
  using R = v1::GenerateRequest;
  const std::vector<BadOption> cases = {
      {"sampling.gen_length: is 0", [](R& r) { Sampling(r).set_gen_length(0); }},
      {"sampling.steps: 0 is not from 1 to the canvas length 128",
       [](R& r) { Sampling(r).set_steps(0); }},
      {"sampling.steps: 129 is not from 1", [](R& r) { Sampling(r).set_steps(129); }},
      {"sampling.steps: 4294967295 is", [](R& r) { Sampling(r).set_steps(4294967295u); }},
      {"sampling.steps: 6 is not divisible by the number of decoding blocks 4",
       [](R& r) { Sampling(r).set_steps(6); }},
      {"sampling.block_length: 0 does not divide", [](R& r) { Sampling(r).set_block_length(0); }},
      {"sampling.block_length: 33 does not", [](R& r) { Sampling(r).set_block_length(33); }},
      {"sampling.block_length: 256 does not", [](R& r) { Sampling(r).set_block_length(256); }},
      {"sampling.temperature: nan", [](R& r) { Sampling(r).set_temperature(kNan); }},
      {"sampling.temperature: inf", [](R& r) { Sampling(r).set_temperature(kInfinity); }},
      {"sampling.temperature: -0.5", [](R& r) { Sampling(r).set_temperature(-0.5f); }},
      {"sampling.temperature: 100.5", [](R& r) { Sampling(r).set_temperature(100.5f); }},
      {"sampling.cfg_scale: nan", [](R& r) { Sampling(r).set_cfg_scale(kNan); }},
      {"sampling.cfg_scale: 101", [](R& r) { Sampling(r).set_cfg_scale(101); }},
      {"sampling.remasking: 99 is no known value",
       [](R& r) { Sampling(r).set_remasking(static_cast<v1::Remasking>(99)); }},
      {"sampling.block_length: 32 is not the canvas length 128",
       [](R& r) {
         Sampling(r).set_remasking(v1::REMASKING_ENTROPY);
         Sampling(r).set_block_length(32);
       }},
      {"sampling.top_p: 0 is not a number above 0",
       [](R& r) {
         Sampling(r).set_remasking(v1::REMASKING_ENTROPY);
         Sampling(r).set_top_p(0);
       }},
      {"sampling.algorithm_temperature: nan",
       [](R& r) {
         Sampling(r).set_remasking(v1::REMASKING_ORIGIN);
         Sampling(r).set_algorithm_temperature(kNan);
       }},
      {"sampling.logits_eos_inf: is for LLaDA",
       [](R& r) {
         Sampling(r).set_remasking(v1::REMASKING_TOPK_MARGIN);
         Sampling(r).set_logits_eos_inf(true);
       }},
      {"sampling.confidence_eos_eot_inf: is for LLaDA",
       [](R& r) {
         Sampling(r).set_remasking(v1::REMASKING_MASKGIT_PLUS);
         Sampling(r).set_confidence_eos_eot_inf(true);
       }},
      {"sampling.top_p: is for Dream", [](R& r) { Sampling(r).set_top_p(0.9f); }},
      {"sampling.top_k: is for Dream", [](R& r) { Sampling(r).set_top_k(5); }},
      {"sampling.algorithm_temperature: is for Dream",
       [](R& r) { Sampling(r).set_algorithm_temperature(0); }},
      {"sampling.confidence_threshold: 0 is not a number above 0",
       [](R& r) { Sampling(r).set_confidence_threshold(0); }},
      {"sampling.confidence_threshold: 1.5 is",
       [](R& r) { Sampling(r).set_confidence_threshold(1.5f); }},
      {"sampling.confidence_threshold: nan",
       [](R& r) { Sampling(r).set_confidence_threshold(kNan); }},
      {"sampling.confidence_threshold: is for the rules low_confidence",
       [](R& r) {
         Sampling(r).set_confidence_threshold(0.9f);
         Sampling(r).set_remasking(v1::REMASKING_RANDOM);
       }},
      {"sampling.confidence_threshold: cannot be used with algorithm_temperature",
       [](R& r) {
         Sampling(r).set_confidence_threshold(0.9f);
         Sampling(r).set_remasking(v1::REMASKING_MASKGIT_PLUS);
         Sampling(r).set_algorithm_temperature(0.5f);
       }},
      {"sampling.stop[0]: 0 bytes", [](R& r) { Sampling(r).add_stop(std::string("")); }},
      {"sampling.stop[1]: 257 bytes",
       [](R& r) {
         Sampling(r).add_stop(std::string("x"));
         Sampling(r).add_stop(std::string(257, 'x'));
       }},
      {"sampling.stop: 17 strings",
       [](R& r) {
         for (int i = 0; i < 17; ++i) Sampling(r).add_stop(std::string("x"));
       }},
      {"sparse.mode: 9", [](R& r) { Sparse(r).set_mode(static_cast<v1::SparseMode>(9)); }},
      {"sparse.preset: 4", [](R& r) { Sparse(r).set_preset(static_cast<v1::SparsePreset>(4)); }},
      {"sparse.preset: EXACT cannot be used with",
       [](R& r) {
         Sparse(r).set_mode(v1::SPARSE_MODE_SPARSED);
         Sparse(r).set_preset(v1::SPARSE_PRESET_EXACT);
       }},
      {"sparse.skip: nan", [](R& r) { Sparse(r).set_skip(kNan); }},
      {"sparse.skip: 1.5", [](R& r) { Sparse(r).set_skip(1.5f); }},
      {"sparse.select: 0 is", [](R& r) { Sparse(r).set_select(0); }},
      {"sparse.select: nan", [](R& r) { Sparse(r).set_select(kNan); }},
      {"sparse.select: 1.25", [](R& r) { Sparse(r).set_select(1.25f); }},
      {"sparse.block_size: 48", [](R& r) { Sparse(r).set_block_size(48); }},
      {"sparse.block_size: 0", [](R& r) { Sparse(r).set_block_size(0); }},
      {"sparse.refresh_until: 1.5",
       [](R& r) {
         Sparse(r).set_refresh_every(4);
         Sparse(r).set_refresh_until(1.5f);
       }},
      {"sparse.recall_every: is 0", [](R& r) { Sparse(r).set_recall_every(0); }},
      {"sparse.recall_floor: -0.5", [](R& r) { Sparse(r).set_recall_floor(-0.5f); }},
      {"sparse.recall_floor: nan", [](R& r) { Sparse(r).set_recall_floor(kNan); }},
      {"sparse.switch_overlap: 0 is", [](R& r) { Sparse(r).set_switch_overlap(0); }},
      {"sparse.switch_overlap: 1.5", [](R& r) { Sparse(r).set_switch_overlap(1.5f); }},
      {"sparse.budgets: 3", [](R& r) { Sparse(r).set_budgets(static_cast<v1::HeadBudgets>(3)); }},
      {"sparse.below_floor: 7",
       [](R& r) { Sparse(r).set_below_floor(static_cast<v1::FloorAction>(7)); }},
      {"sparse.below_floor: is for recall_floor",
       [](R& r) { Sparse(r).set_below_floor(v1::FLOOR_ACTION_REFRESH); }},
      {"sparse.refresh_steps[1]: 2147483647 is",
       [](R& r) {
         Sparse(r).add_refresh_steps(127);
         Sparse(r).add_refresh_steps(std::numeric_limits<uint32_t>::max());
       }},
      {"sparse.scale: -1", [](R& r) { Sparse(r).set_scale(static_cast<v1::SelectionScale>(-1)); }},
      {"request_id: 129 bytes", [](R& r) { r.set_request_id(std::string(129, 'x')); }},
      {"request_id: ", [](R& r) { r.set_request_id("a b"); }},
      {"request_id: ", [](R& r) { r.set_request_id("a\nb"); }},
      {"request_id: ", [](R& r) { r.set_request_id("\xC3\xA9"); }},
  };
  for (const BadOption& bad : cases) {
    v1::GenerateRequest request = Good();
    bad.change(request);
    INFO(bad.wrong);
    CHECK(OnlyWrong(request).rfind(bad.wrong, 0) == 0);
  }
}

TEST_CASE_METHOD(ValidateFixture, "validate: all that is wrong is listed at once") {
  v1::GenerateRequest request;
  request.set_prompt("");
  Sampling(request).set_steps(0);
  Sampling(request).set_temperature(kNan);
  Sampling(request).set_top_k(3);
  Sparse(request).set_block_size(1);
  request.set_request_id("a b");
  CHECK(Wrong(request).size() == 6);
}

TEST_CASE("validate: a share means its shortest decimal form") {
  CHECK(WidenDecimal(0.3f) == 0.3);
  CHECK(WidenDecimal(0.1f) == 0.1);
  CHECK(WidenDecimal(1.0f) == 1.0);
  CHECK(WidenDecimal(0.5f) == 0.5);
  CHECK(WidenDecimal(1e-20f) == 1e-20);
  CHECK(static_cast<double>(0.3f) != 0.3);
  CHECK(std::isnan(WidenDecimal(kNan)));
}

}  // namespace sparsed::server
