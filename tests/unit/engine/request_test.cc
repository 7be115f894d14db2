#include "engine/request.h"

#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "engine/step_scheduler.h"
#include "tests/testing/catch.h"

namespace sparsed::engine {
namespace {

ModelInfo TestInfo() {
  ModelInfo model;
  model.vocab_size = 100;
  model.max_tokens = 64;
  model.mask_token_id = 5;
  return model;
}

Request Valid() {
  Request request = MakeRequest({10, 11, 12}, 32, 5);
  request.sampling.steps = 16;
  request.sampling.block_length = 8;
  return request;
}

struct Row {
  const char* name;
  std::function<void(Request&)> change;
  const char* field;
  std::vector<std::string> mentions;  // the value and the limit
};

const float kNan = std::numeric_limits<float>::quiet_NaN();
const float kInfinity = std::numeric_limits<float>::infinity();

void Require(const Row& row) {
  Request request = Valid();
  row.change(request);
  const std::vector<FieldViolation> violations = CheckRequest(request, TestInfo());
  INFO(row.name);
  REQUIRE(violations.size() == 1);
  INFO(violations[0].description);
  REQUIRE(violations[0].field == row.field);
  for (const std::string& part : row.mentions) {
    REQUIRE(violations[0].description.find(part) != std::string::npos);
  }
}

}  // namespace

TEST_CASE("A valid request has no violations, at the limits neither") {
  REQUIRE(CheckRequest(Valid(), TestInfo()).empty());
  Request request = MakeRequest({99}, 63, 5);
  request.sampling.steps = 63;
  request.sampling.block_length = 1;
  request.sampling.temperature = 100;
  request.sampling.cfg_scale = 100;
  request.sparse.skip = 1;
  request.sparse.select = 1.0;
  request.sparse.block_size = 128;
  REQUIRE(CheckRequest(request, TestInfo()).empty());
  request.sampling.block_length = 63;
  request.sampling.steps = 1;
  request.sparse.skip = 0;
  REQUIRE(CheckRequest(request, TestInfo()).empty());
}

TEST_CASE("Schedule violations name field, value and limit") {
  const Row rows[] = {
      {"no steps", [](Request& r) { r.sampling.steps = 0; }, "sampling.steps", {"0", "[1, 32]"}},
      {"negative", [](Request& r) { r.sampling.steps = -4; }, "sampling.steps", {"-4", "[1, 32]"}},
      {"too many", [](Request& r) { r.sampling.steps = 36; }, "sampling.steps", {"36", "[1, 32]"}},
      {"not divisible", [](Request& r) { r.sampling.steps = 18; }, "sampling.steps", {"18", "4"}},
      {"below the blocks", [](Request& r) { r.sampling.steps = 2; }, "sampling.steps", {"2", "4"}},
      {"no block",
       [](Request& r) { r.sampling.block_length = 0; },
       "sampling.block_length",
       {"0", "32"}},
      {"negative block",
       [](Request& r) { r.sampling.block_length = -8; },
       "sampling.block_length",
       {"-8", "32"}},
      {"no divisor",
       [](Request& r) { r.sampling.block_length = 12; },
       "sampling.block_length",
       {"12", "32"}},
      {"too long",
       [](Request& r) { r.sampling.block_length = 64; },
       "sampling.block_length",
       {"64", "32"}},
  };
  for (const Row& row : rows) Require(row);
}

TEST_CASE("Scale violations name field, value and limit, NaN and infinity included") {
  const Row rows[] = {
      {"cold",
       [](Request& r) { r.sampling.temperature = -0.5f; },
       "sampling.temperature",
       {"-0.5", "[0, 100]"}},
      {"hot",
       [](Request& r) { r.sampling.temperature = 101; },
       "sampling.temperature",
       {"101", "[0, 100]"}},
      {"NaN", [](Request& r) { r.sampling.temperature = kNan; }, "sampling.temperature", {"nan"}},
      {"inf",
       [](Request& r) { r.sampling.temperature = kInfinity; },
       "sampling.temperature",
       {"inf"}},
      {"cfg",
       [](Request& r) { r.sampling.cfg_scale = -1; },
       "sampling.cfg_scale",
       {"-1", "[0, 100]"}},
      {"cfg", [](Request& r) { r.sampling.cfg_scale = 100.5f; }, "sampling.cfg_scale", {"100.5"}},
      {"cfg NaN", [](Request& r) { r.sampling.cfg_scale = kNan; }, "sampling.cfg_scale", {"nan"}},
      {"cfg inf",
       [](Request& r) { r.sampling.cfg_scale = -kInfinity; },
       "sampling.cfg_scale",
       {"-inf"}},
      {"skip", [](Request& r) { r.sparse.skip = 1.5; }, "sparse.skip", {"1.5", "[0, 1]"}},
      {"skip", [](Request& r) { r.sparse.skip = -0.1; }, "sparse.skip", {"-0.1", "[0, 1]"}},
      {"skip NaN", [](Request& r) { r.sparse.skip = kNan; }, "sparse.skip", {"nan"}},
      {"select", [](Request& r) { r.sparse.select = 0.0; }, "sparse.select", {"0", "(0, 1]"}},
      {"select", [](Request& r) { r.sparse.select = 1.01; }, "sparse.select", {"1.01", "(0, 1]"}},
      {"select NaN", [](Request& r) { r.sparse.select = kNan; }, "sparse.select", {"nan"}},
      {"block",
       [](Request& r) { r.sparse.block_size = 48; },
       "sparse.block_size",
       {"48", "32, 64 or 128"}},
      {"block", [](Request& r) { r.sparse.block_size = 0; }, "sparse.block_size", {"0"}},
  };
  for (const Row& row : rows) Require(row);
}

TEST_CASE("Refreshes come after the first selection, before the end, by one of two schedules") {
  Request request = Valid();
  const int32_t steps = request.sampling.steps;
  const int32_t first = SelectStep(steps, request.sparse.skip);
  request.sparse.refresh_steps = {steps - 1, first + 1};
  REQUIRE(CheckRequest(request, TestInfo()).empty());
  const std::string last_text = std::to_string(steps);
  const std::string first_text = std::to_string(first);
  const Row rows[] = {
      {"too early",
       [=](Request& r) {
         r.sparse.refresh_steps = {first + 1, first};
       },
       "sparse.refresh_steps[1]",
       {first_text, last_text}},
      {"too late",
       [=](Request& r) { r.sparse.refresh_steps = {steps}; },
       "sparse.refresh_steps[0]",
       {last_text, first_text}},
      {"negative",
       [](Request& r) { r.sparse.refresh_steps = {-1}; },
       "sparse.refresh_steps[0]",
       {"-1"}},
      {"too many",
       [=](Request& r) { r.sparse.refresh_steps.assign(257, first + 1); },
       "sparse.refresh_steps",
       {"257", "256"}},
      {"both",
       [=](Request& r) {
         r.sparse.refresh_steps = {first + 1};
         r.sparse.refresh_every = 2;
       },
       "sparse.refresh_every",
       {"refresh_steps"}},
      {"every", [](Request& r) { r.sparse.refresh_every = -1; }, "sparse.refresh_every", {"-1"}},
      {"until",
       [](Request& r) {
         r.sparse.refresh_every = 1;
         r.sparse.refresh_until = 1.5;
       },
       "sparse.refresh_until",
       {"1.5", "(0, 1]"}},
      {"until NaN",
       [](Request& r) {
         r.sparse.refresh_every = 1;
         r.sparse.refresh_until = kNan;
       },
       "sparse.refresh_until",
       {"nan"}},
      {"until what",
       [](Request& r) { r.sparse.refresh_until = 0.5; },
       "sparse.refresh_until",
       {"refresh_every"}},
  };
  for (const Row& row : rows) Require(row);
}

TEST_CASE("Overlaps, estimates of the recall and their floor have ranges") {
  const Row rows[] = {
      {"overlap",
       [](Request& r) { r.sparse.switch_overlap = 0.0; },
       "sparse.switch_overlap",
       {"0", "(0, 1]"}},
      {"overlap",
       [](Request& r) { r.sparse.switch_overlap = kNan; },
       "sparse.switch_overlap",
       {"nan"}},
      {"every", [](Request& r) { r.sparse.recall_every = -1; }, "sparse.recall_every", {"-1"}},
      {"floor",
       [](Request& r) { r.sparse.recall_floor = 1.5; },
       "sparse.recall_floor",
       {"1.5", "[0, 1]"}},
      {"NaN", [](Request& r) { r.sparse.recall_floor = kNan; }, "sparse.recall_floor", {"nan"}},
      {"no floor",
       [](Request& r) { r.sparse.below_floor = FloorAction::kFull; },
       "sparse.below_floor",
       {"recall_floor"}},
  };
  for (const Row& row : rows) Require(row);
}

TEST_CASE("A confidence threshold is for the rules that rank by probability") {
  Request request = Valid();
  request.sampling.confidence_threshold = 1.0f;
  REQUIRE(CheckRequest(request, TestInfo()).empty());
  request.sampling.block_length = 32;
  request.sampling.remasking = Remasking::kMaskgitPlus;
  REQUIRE(CheckRequest(request, TestInfo()).empty());
  const char* field = "sampling.confidence_threshold";
  const Row rows[] = {
      {"0", [](Request& r) { r.sampling.confidence_threshold = 0.0f; }, field, {"0", "(0, 1]"}},
      {"above", [](Request& r) { r.sampling.confidence_threshold = 1.5f; }, field, {"1.5"}},
      {"NaN", [](Request& r) { r.sampling.confidence_threshold = kNan; }, field, {"nan"}},
      {"random",
       [](Request& r) {
         r.sampling.confidence_threshold = 0.9f;
         r.sampling.remasking = Remasking::kRandom;
       },
       field,
       {"low_confidence", "maskgit_plus"}},
      {"entropy",
       [](Request& r) {
         r.sampling.confidence_threshold = 0.9f;
         r.sampling.remasking = Remasking::kEntropy;
         r.sampling.block_length = 32;
       },
       field,
       {"low_confidence", "maskgit_plus"}},
      {"drawn",
       [](Request& r) {
         r.sampling.confidence_threshold = 0.9f;
         r.sampling.remasking = Remasking::kMaskgitPlus;
         r.sampling.block_length = 32;
         r.sampling.algorithm_temperature = 0.1f;
       },
       field,
       {"algorithm_temperature"}},
  };
  for (const Row& row : rows) Require(row);
}

TEST_CASE("Targets fill the canvas, and nothing is drawn or cut beside them") {
  const auto targets = [](Request& r) {
    r.target_ids.assign(32, 9);
    r.sampling.stop_at_end = false;
  };
  const auto dream = [targets](Request& r) {
    targets(r);
    r.sampling.remasking = Remasking::kEntropy;
    r.sampling.block_length = 32;
    r.sampling.algorithm_temperature = 0.5f;
  };
  Request request = Valid();
  targets(request);
  REQUIRE(CheckRequest(request, TestInfo()).empty());
  dream(request);
  REQUIRE(CheckRequest(request, TestInfo()).empty());
  const auto with = [](auto base, auto change) {
    return [base, change](Request& r) {
      base(r);
      change(r);
    };
  };
  const Row rows[] = {
      {"short",
       with(targets, [](Request& r) { r.target_ids.pop_back(); }),
       "target_ids",
       {"31", "32"}},
      {"beyond",
       with(targets, [](Request& r) { r.target_ids[3] = 100; }),
       "target_ids[3]",
       {"100", "[0, 100)"}},
      {"negative",
       with(targets, [](Request& r) { r.target_ids[4] = -1; }),
       "target_ids[4]",
       {"-1", "[0, 100)"}},
      {"mask",
       with(targets, [](Request& r) { r.target_ids[0] = 5; }),
       "target_ids[0]",
       {"5", "mask"}},
      {"warm",
       with(targets, [](Request& r) { r.sampling.temperature = 1; }),
       "sampling.temperature",
       {"target_ids"}},
      {"nucleus",
       with(dream, [](Request& r) { r.sampling.top_p = 0.5f; }),
       "sampling.top_p",
       {"target_ids"}},
      {"top k",
       with(dream, [](Request& r) { r.sampling.top_k = 5; }),
       "sampling.top_k",
       {"target_ids"}},
      {"no end",
       with(targets, [](Request& r) { r.sampling.logits_eos_inf = true; }),
       "sampling.logits_eos_inf",
       {"target_ids"}},
      {"late end",
       with(targets, [](Request& r) { r.sampling.confidence_eos_eot_inf = true; }),
       "sampling.confidence_eos_eot_inf",
       {"target_ids"}},
      {"cut",
       with(targets, [](Request& r) { r.sampling.stop_at_end = true; }),
       "sampling.stop_at_end",
       {"target_ids"}},
  };
  for (const Row& row : rows) Require(row);
}

TEST_CASE("Dream's rules take their options and no decoding blocks; LLaDA's take neither") {
  const auto dream = [](Request& r) {
    r.sampling.remasking = Remasking::kEntropy;
    r.sampling.block_length = 32;
    r.sampling.top_p = 0.9f;
    r.sampling.top_k = 1000;
    r.sampling.algorithm_temperature = 0.5f;
  };
  Request request = Valid();
  dream(request);
  REQUIRE(CheckRequest(request, TestInfo()).empty());
  const Row rows[] = {
      {"blocks",
       [&](Request& r) {
         dream(r);
         r.sampling.block_length = 8;
       },
       "sampling.block_length",
       {"8", "gen_length, 32"}},
      {"nucleus", [](Request& r) { r.sampling.top_p = 0.9f; }, "sampling.top_p", {"Dream's"}},
      {"top k", [](Request& r) { r.sampling.top_k = 5; }, "sampling.top_k", {"Dream's"}},
      {"order",
       [](Request& r) { r.sampling.algorithm_temperature = 1; },
       "sampling.algorithm_temperature",
       {"Dream's"}},
      {"end",
       [&](Request& r) {
         dream(r);
         r.sampling.logits_eos_inf = true;
       },
       "sampling.logits_eos_inf",
       {"LLaDA's"}},
      {"ends",
       [&](Request& r) {
         dream(r);
         r.sampling.confidence_eos_eot_inf = true;
       },
       "sampling.confidence_eos_eot_inf",
       {"LLaDA's"}},
      {"nothing kept",
       [&](Request& r) {
         dream(r);
         r.sampling.top_p = 0;
       },
       "sampling.top_p",
       {"0", "(0, 1]"}},
      {"NaN",
       [&](Request& r) {
         dream(r);
         r.sampling.algorithm_temperature = kNan;
       },
       "sampling.algorithm_temperature",
       {"nan", "[0, 100]"}},
      {"negative",
       [&](Request& r) {
         dream(r);
         r.sampling.top_k = -1;
       },
       "sampling.top_k",
       {"-1"}},
  };
  for (const Row& row : rows) Require(row);
}

TEST_CASE("Token violations name the position, the id and the limit") {
  const Row rows[] = {
      {"mask in the prompt", [](Request& r) { r.ids[1] = 5; }, "token_ids", {"position 1", "5"}},
      {"negative id", [](Request& r) { r.ids[2] = -1; }, "token_ids", {"-1", "[0, 100)"}},
      {"id too large", [](Request& r) { r.ids[0] = 100; }, "token_ids", {"100", "[0, 100)"}},
      {"canvas without mask",
       [](Request& r) { r.ids[20] = 9; },
       "token_ids",
       {"canvas position 20", "9", "5"}},
      {"canvas beyond the end",
       [](Request& r) { r.canvas.back() = 35; },
       "sampling.gen_length",
       {"35"}},
      {"canvas twice", [](Request& r) { r.canvas[1] = r.canvas[0]; }, "sampling.gen_length", {"3"}},
      {"too long",
       [](Request& r) { r.ids.resize(65, 9); },
       "sampling.gen_length",
       {"33", "32", "65", "64"}},
  };
  for (const Row& row : rows) Require(row);
}

TEST_CASE("An empty prompt and an empty canvas are violations") {
  Request request = MakeRequest({}, 32, 5);
  request.sampling.steps = 16;
  request.sampling.block_length = 8;
  std::vector<FieldViolation> violations = CheckRequest(request, TestInfo());
  REQUIRE(violations.size() == 1);
  REQUIRE(violations[0].field == "token_ids");

  request = MakeRequest({9, 9}, 0, 5);
  violations = CheckRequest(request, TestInfo());
  REQUIRE(violations.size() == 1);
  REQUIRE(violations[0].field == "sampling.gen_length");
}

TEST_CASE("All violations are reported at once") {
  Request request = Valid();
  request.sampling.steps = 0;
  request.sampling.temperature = -1;
  request.sparse.select = 2;
  request.ids[0] = 5;
  REQUIRE(CheckRequest(request, TestInfo()).size() == 4);
}

TEST_CASE("A hole at the start is refused where each token is predicted from the one before it") {
  Request request = Valid();
  request.ids = {5, 10, 11, 5};
  request.canvas = {0, 3};
  request.sampling.steps = 2;
  request.sampling.block_length = 2;
  ModelInfo model = TestInfo();
  REQUIRE(CheckRequest(request, model).empty());
  model.predicts_next = true;
  model.family = "dream";
  const std::vector<FieldViolation> violations = CheckRequest(request, model);
  REQUIRE(violations.size() == 1);
  REQUIRE(violations[0].field == "infill.parts");
  REQUIRE(violations[0].description.find("dream predict each token from the one before it") !=
          std::string::npos);
}

}  // namespace sparsed::engine
