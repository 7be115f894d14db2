#include "server/http_inspection.h"

#include <nlohmann/json.hpp>

#include "tests/unit/server/validate_fixture.h"

namespace sparsed::server {
namespace {

using Json = nlohmann::json;

Json DataOf(const std::string& event) {
  REQUIRE(event.rfind("data: ", 0) == 0);
  const size_t end = event.find("\n\n");
  REQUIRE(end != std::string::npos);
  return Json::parse(event.substr(6, end - 6), nullptr, false);
}

}  // namespace

TEST_CASE("http inspection: each event is the message's fields") {
  const InspectionAnswer answer({});
  v1::InspectResponse started;
  for (const uint32_t layer : {0u, 2u}) started.mutable_started()->add_layers(layer);
  started.mutable_started()->add_heads(1);
  started.mutable_started()->add_steps(4);
  started.mutable_started()->set_blocks(2);
  started.mutable_started()->set_block_size(32);
  started.mutable_started()->set_first_canvas_block(1);
  Json expected = {{"layers", {0, 2}}, {"heads", {1}}, {"steps", {4}},
                   {"block_size", 32}, {"blocks", 2},  {"first_canvas_block", 1}};
  CHECK(DataOf(answer.Event(started)) == Json{{"started", expected}});
  started.mutable_started()->set_select_step(0);
  expected["select_step"] = 0;
  CHECK(DataOf(answer.Event(started)) == Json{{"started", expected}});

  v1::InspectResponse event;
  v1::HeadPattern* head = event.mutable_head();
  head->set_step(4);
  head->set_kind(v1::STEP_KIND_SELECT);
  head->set_layer(2);
  head->set_head(1);
  head->set_kept(std::string("\x01\x03", 2));
  head->add_similarity(1);
  expected = {{"step", 4}, {"kind", "select"}, {"layer", 2},
              {"head", 1}, {"kept", "AQM="},   {"similarity", {1.0}}};
  CHECK(DataOf(answer.Event(event)) == Json{{"head", expected}});
  // 1.0f is 3F800000, and comes with its lowest byte first.
  head->add_importance(1.0f);
  head->set_recall(0.5);
  head->set_fresh_recall(0.25);
  expected["importance"] = "AACAPw==";
  expected["recall"] = 0.5;
  expected["fresh_recall"] = 0.25;
  CHECK(DataOf(answer.Event(event)) == Json{{"head", expected}});
}

TEST_CASE("http inspection: the end says so, and has what the patterns came to") {
  const InspectionAnswer answer(FieldNames{{"steps", "inspect.steps"}});
  v1::InspectResponse event;
  event.mutable_final()->set_text("nobody asks for it");
  CHECK(answer.Event(event) ==
        "data: {\"final\":{\"sparse\":{\"used\":false}}}\n\ndata: [DONE]\n\n");
  event.mutable_final()->mutable_sparse()->set_used(true);
  event.mutable_final()->mutable_sparse()->set_density(0.25);
  event.mutable_final()->mutable_sparse()->set_recall(0.5);
  CHECK(DataOf(answer.Event(event)) ==
        Json{{"final", {{"sparse", {{"used", true}, {"density", 0.25}, {"recall", 0.5}}}}}});
  const Json error = DataOf(answer.ErrorEvent(BadFields(OneViolation("steps[1]", "is wrong"))));
  CHECK(error["error"]["message"] == "inspect.steps[1]: is wrong");
}

}  // namespace sparsed::server
