#include "clients/cpp/request_flags.h"

#include "tests/testing/catch.h"

namespace sparsed::clients {
namespace {

// Parses arguments; the request, or none on wrong usage.
std::optional<v1::GenerateRequest> Parse(std::vector<std::string> arguments,
                                         FlagSet set = FlagSet::kGenerate) {
  CLI::App app;
  RequestFlags flags;
  AddRequestFlags(app, set, flags);
  std::reverse(arguments.begin(), arguments.end());
  // CLI11 reports wrong usage by exceptions.
  try {
    app.parse(arguments);
  } catch (const CLI::ParseError&) {
    return std::nullopt;
  }
  return ToRequest(flags);
}

TEST_CASE("what is not given is not sent") {
  const auto request = Parse({});
  REQUIRE(request.has_value());
  CHECK_FALSE(request->sampling().has_gen_length());
  CHECK_FALSE(request->sampling().has_temperature());
  CHECK_FALSE(request->sampling().has_seed());
  CHECK_FALSE(request->sampling().has_stop_at_end());
  CHECK_FALSE(request->sparse().has_skip());
  CHECK_FALSE(request->sparse().has_isolated());
  CHECK(request->sparse().mode() == v1::SPARSE_MODE_UNSPECIFIED);
  CHECK_FALSE(request->sampling().has_confidence_threshold());
  CHECK(request->target_ids().empty());
  CHECK_FALSE(request->has_priority());
}

TEST_CASE("every flag reaches its field") {
  const auto request = Parse({"--gen-length=64",
                              "--steps=32",
                              "--block-length=16",
                              "--temperature=0.5",
                              "--seed=18446744073709551615",
                              "--remasking=random",
                              "--cfg-scale=1.5",
                              "--confidence-threshold=0.9",
                              "--target-ids=7,9",
                              "--no-stop-at-end",
                              "--stop=a b",
                              "--stop=c",
                              "--sparse=sparsed",
                              "--skip=0.25",
                              "--select=0.3",
                              "--block-size=64",
                              "--scale=n-heads",
                              "--refresh-steps=9,12",
                              "--refresh-every=4",
                              "--refresh-until=0.5",
                              "--preset=fast",
                              "--recall-every=3",
                              "--recall-floor=0.75",
                              "--below-floor=full",
                              "--switch-overlap=0.8",
                              "--no-isolation",
                              "--budgets=by-mass",
                              "--priority=-3",
                              "--request-id=r1",
                              "--model=nano",
                              "--token-confidences",
                              "--top-p=0.9",
                              "--top-k=40",
                              "--algorithm-temperature=0.25",
                              "--logits-eos-inf",
                              "--confidence-eos-eot-inf"});
  REQUIRE(request.has_value());
  const v1::SamplingOptions& sampling = request->sampling();
  CHECK(sampling.gen_length() == 64);
  CHECK(sampling.steps() == 32);
  CHECK(sampling.block_length() == 16);
  CHECK(sampling.temperature() == 0.5f);
  CHECK(sampling.seed() == UINT64_MAX);
  CHECK(sampling.remasking() == v1::REMASKING_RANDOM);
  CHECK(sampling.cfg_scale() == 1.5f);
  CHECK(sampling.top_p() == 0.9f);
  CHECK(sampling.top_k() == 40);
  CHECK(sampling.algorithm_temperature() == 0.25f);
  CHECK(sampling.logits_eos_inf());
  CHECK(sampling.confidence_eos_eot_inf());
  CHECK(sampling.has_stop_at_end());
  CHECK_FALSE(sampling.stop_at_end());
  REQUIRE(sampling.stop_size() == 2);
  CHECK(sampling.stop(0) == "a b");
  CHECK(request->sparse().mode() == v1::SPARSE_MODE_SPARSED);
  CHECK(request->sparse().skip() == 0.25f);
  CHECK(request->sparse().select() == 0.3f);
  CHECK(request->sparse().block_size() == 64);
  CHECK(request->sparse().scale() == v1::SELECTION_SCALE_N_HEADS);
  REQUIRE(request->sparse().refresh_steps_size() == 2);
  CHECK(request->sparse().refresh_steps(1) == 12);
  CHECK(request->sparse().refresh_every() == 4);
  CHECK(request->sparse().refresh_until() == 0.5f);
  CHECK(request->sparse().preset() == v1::SPARSE_PRESET_FAST);
  CHECK(request->sparse().recall_every() == 3);
  CHECK(request->sparse().recall_floor() == 0.75f);
  CHECK(request->sparse().below_floor() == v1::FLOOR_ACTION_FULL);
  CHECK(request->sparse().switch_overlap() == 0.8f);
  CHECK(request->sampling().confidence_threshold() == 0.9f);
  REQUIRE(request->target_ids_size() == 2);
  CHECK(request->target_ids(1) == 9);
  CHECK((request->sparse().has_isolated() && !request->sparse().isolated()));
  CHECK(request->sparse().budgets() == v1::HEAD_BUDGETS_BY_MASS);
  CHECK(request->priority() == -3);
  CHECK(request->request_id() == "r1");
  CHECK(request->model() == "nano");
  CHECK(request->token_confidences());
}

TEST_CASE("zero is sent, so that the server can refuse it") {
  const auto request = Parse({"--steps=0", "--temperature=0"});
  REQUIRE(request.has_value());
  CHECK(request->sampling().has_steps());
  CHECK(request->sampling().has_temperature());
}

TEST_CASE("wrong usage is refused") {
  CHECK_FALSE(Parse({"--sparse=maybe"}).has_value());
  CHECK_FALSE(Parse({"--remasking=3"}).has_value());
  CHECK_FALSE(Parse({"--steps=-1"}).has_value());
  CHECK_FALSE(Parse({"--steps=many"}).has_value());
  CHECK_FALSE(Parse({"--deadline-seconds=0"}).has_value());
  CHECK_FALSE(Parse({"--gen-length=8"}, FlagSet::kInfill).has_value());
  CHECK_FALSE(Parse({"--stop=x"}, FlagSet::kInfill).has_value());
}

}  // namespace
}  // namespace sparsed::clients
