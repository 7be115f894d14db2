#include <nlohmann/json.hpp>
#include <vector>

#include "server/http_openai_response.h"
#include "tests/unit/server/validate_fixture.h"

namespace sparsed::server {
namespace {

using nlohmann::json;

OpenAiCall CallOf(bool chat) {
  OpenAiCall call;
  call.chat = chat;
  return call;
}

OpenAiAnswer AnswerTo(const OpenAiCall& call) {
  static const ValidateFixture served;
  return OpenAiAnswer(call, {"r1", &served.model, 5});
}

v1::StreamGenerateResponse BlockEvent(const std::string& text) {
  v1::StreamGenerateResponse event;
  event.mutable_block()->set_text(text);
  return event;
}

v1::StreamGenerateResponse FinalEvent(const std::string& text) {
  v1::StreamGenerateResponse event;
  event.mutable_final()->set_text(text);
  event.mutable_final()->set_finish_reason(v1::FINISH_REASON_LENGTH);
  event.mutable_final()->mutable_usage()->set_prompt_tokens(3);
  event.mutable_final()->mutable_usage()->set_generated_tokens(4);
  event.mutable_final()->set_seed(uint64_t{1} << 63);
  return event;
}

// The data of a stream's events; [DONE] is null.
std::vector<json> EventsOf(const std::string& bytes) {
  std::vector<json> events;
  for (size_t at = 0; at < bytes.size();) {
    const size_t end = bytes.find("\n\n", at);
    REQUIRE(end != std::string::npos);
    const std::string event = bytes.substr(at, end - at);
    const size_t data = event.find("data: ");
    REQUIRE(data != std::string::npos);
    const std::string text = event.substr(data + 6);
    events.push_back(text == "[DONE]" ? json() : json::parse(text, nullptr, false));
    CHECK_FALSE(events.back().is_discarded());
    at = end + 2;
  }
  return events;
}

TEST_CASE("openai: an answer") {
  const json chat = json::parse(AnswerTo(CallOf(true)).Body(FinalEvent("hi").final()));
  CHECK(chat["id"] == "chatcmpl-r1");
  CHECK(chat["object"] == "chat.completion");
  CHECK(chat["created"] == 5);
  CHECK(chat["model"] == "tiny");
  CHECK(chat["choices"].size() == 1);
  CHECK(chat["choices"][0]["message"] == json({{"role", "assistant"}, {"content", "hi"}}));
  CHECK(chat["choices"][0]["finish_reason"] == "length");
  CHECK(chat["usage"] ==
        json({{"prompt_tokens", 3}, {"completion_tokens", 4}, {"total_tokens", 7}}));
  CHECK(chat["diffusion"]["seed"] == uint64_t{1} << 63);

  v1::GenerateResponse stopped = FinalEvent("hi").final();
  stopped.set_finish_reason(v1::FINISH_REASON_STOP);
  const json completion = json::parse(AnswerTo(CallOf(false)).Body(stopped));
  CHECK(completion["id"] == "cmpl-r1");
  CHECK(completion["object"] == "text_completion");
  CHECK(completion["choices"][0]["text"] == "hi");
  CHECK(completion["choices"][0]["finish_reason"] == "stop");
}

TEST_CASE("openai: a chat's stream begins with the role and ends with [DONE]") {
  OpenAiCall call = CallOf(true);
  call.include_usage = true;
  OpenAiAnswer answer = AnswerTo(call);
  v1::StreamGenerateResponse accepted;
  accepted.mutable_accepted();
  const auto first = EventsOf(answer.Event(accepted));
  REQUIRE(first.size() == 1);
  CHECK(first[0]["object"] == "chat.completion.chunk");
  CHECK(first[0]["choices"][0]["delta"] == json({{"role", "assistant"}, {"content", ""}}));
  CHECK(first[0]["choices"][0]["finish_reason"].is_null());
  CHECK(EventsOf(answer.Event(BlockEvent("h")))[0]["choices"][0]["delta"] ==
        json({{"content", "h"}}));
  CHECK(answer.Event(BlockEvent("")).empty());
  CHECK(EventsOf(answer.Event(BlockEvent("i"))).size() == 1);

  const auto end = EventsOf(answer.Event(FinalEvent("hi")));
  REQUIRE(end.size() == 3);
  CHECK(end[0]["choices"][0]["finish_reason"] == "length");
  CHECK(end[0]["choices"][0]["delta"] == json::object());
  CHECK(end[1]["choices"].empty());
  CHECK(end[1]["usage"]["total_tokens"] == 7);
  CHECK(end[2].is_null());
}

TEST_CASE("openai: a frame has its own event and no choices") {
  OpenAiAnswer answer = AnswerTo(CallOf(true));
  v1::StreamGenerateResponse event;
  event.mutable_frame()->set_step(2);
  event.mutable_frame()->add_token_ids(static_cast<uint32_t>(IdOf('a')));
  event.mutable_frame()->add_token_ids(static_cast<uint32_t>(kMask));
  event.mutable_frame()->add_token_ids(1);
  event.mutable_frame()->set_text("a");
  const std::string bytes = answer.Event(event);
  CHECK(bytes.rfind("event: diffusion_frame\ndata: {", 0) == 0);
  const json frame = EventsOf(bytes)[0];
  CHECK(frame["choices"].empty());
  CHECK(frame["frame"] == json({{"step", 2},
                                {"text", "a"},
                                {"token_ids", json::array({IdOf('a'), kMask, 1})},
                                {"pieces", json::array({"a", nullptr, "<1>"})}}));
}

TEST_CASE("openai: the report tells of every token where it was asked for") {
  v1::StreamGenerateResponse end = FinalEvent("b");
  v1::TokenDetail* token = end.mutable_final()->add_tokens();
  token->set_id(static_cast<uint32_t>(IdOf('b')));
  token->set_confidence(0.5);
  token->set_commit_step(3);
  const json tokens = json::array(
      {json{{"id", IdOf('b')}, {"text", "b"}, {"confidence", 0.5}, {"commit_step", 3}}});
  CHECK(json::parse(AnswerTo(CallOf(true)).Body(end.final()))["diffusion"]["tokens"] == tokens);
  OpenAiAnswer stream = AnswerTo(CallOf(false));
  json report;
  for (const json& event : EventsOf(stream.Event(end))) {
    if (event.contains("diffusion")) report = event["diffusion"];
  }
  CHECK(report["tokens"] == tokens);
  const json unasked = json::parse(AnswerTo(CallOf(true)).Body(FinalEvent("b").final()));
  CHECK_FALSE(unasked["diffusion"].contains("tokens"));
}

// What the stream of an infill gives for these blocks of "before" + hole + "ending".
std::string Infilled(const std::string& before, const std::string& hole, const std::string& ending,
                     size_t piece) {
  OpenAiCall call = CallOf(false);
  v1::Infill* infill = call.request.mutable_infill();
  if (!before.empty()) infill->add_parts()->set_text(before);
  infill->add_parts()->set_hole_tokens(4);
  infill->add_parts()->set_text(ending);
  OpenAiAnswer answer = AnswerTo(call);
  const std::string all = before + hole + ending;
  std::string bytes;
  for (size_t at = 0; at < all.size(); at += piece) {
    bytes += answer.Event(BlockEvent(all.substr(at, piece)));
  }
  v1::StreamGenerateResponse end = FinalEvent(all);
  end.mutable_final()->add_hole_texts(hole);
  bytes += answer.Event(end);
  CHECK(json::parse(answer.Body(end.final()))["choices"][0]["text"] == hole);
  std::string text;
  const auto events = EventsOf(bytes);
  CHECK(events.back().is_null());
  for (const json& event : events) {
    if (!event.is_null()) text += event["choices"][0]["text"].get<std::string>();
  }
  return text;
}

TEST_CASE("openai: the stream of an infill is the hole's text alone") {
  for (const char* hole : {"", "x", "abab", "aab", "ababab", "b", "xaba"}) {
    for (const char* ending : {"ab", "abab", "aabaab", "x"}) {
      for (const char* before : {"", "start"}) {
        for (const size_t piece : {1, 2, 3, 100}) {
          CHECK(Infilled(before, hole, ending, piece) == hole);
        }
      }
    }
  }
}

TEST_CASE("openai: text that cannot be the ending is not held back") {
  EndingHold hold("abc");
  CHECK(hold.Add("xa") == "x");
  CHECK(hold.Add("b").empty());
  CHECK(hold.Add("d") == "abd");
  CHECK(hold.Add("abc").empty());
  CHECK(hold.Add("a") == "abc");
  EndingHold none("");
  CHECK(none.Add("abc") == "abc");
}

TEST_CASE("openai: failures have OpenAI's form and the status of the table") {
  struct Row {
    Failure failure;
    int status;
    const char* type;
    const char* code;
  };
  for (const Row& row :
       std::vector<Row>{{BadFields(OneViolation("sampling.steps", "is 0")), 400,
                         "invalid_request_error", "invalid_argument"},
                        {NoChatTemplate("m"), 400, "invalid_request_error", "no_chat_template"},
                        {TokenMissing(), 401, "authentication_error", "invalid_api_key"},
                        {ModelForbidden("m"), 403, "permission_error", "permission_denied"},
                        {UnknownModel("a", "b"), 404, "not_found_error", "model_not_found"},
                        {BodyTooSlow(), 408, "invalid_request_error", "body_too_slow"},
                        {BodyTooLarge(5), 413, "invalid_request_error", "body_too_large"},
                        {QueueFull(1, 100), 429, "rate_limit_error", "queue_full"},
                        {Cancelled(), 499, "invalid_request_error", "cancelled"},
                        {Internal(), 500, "server_error", "internal"},
                        {Draining(), 503, "server_error", "draining"},
                        {DeadlineInQueue(), 504, "server_error", "deadline"}}) {
    CHECK(HttpStatus(&row.failure) == row.status);
    const json error = json::parse(OpenAiError(row.failure, {{"sampling", "diffusion"}}))["error"];
    INFO(error.dump());
    CHECK(error.size() == 4);
    CHECK(error["type"] == row.type);
    CHECK(error["code"] == row.code);
    CHECK_FALSE(error["message"].get<std::string>().empty());
  }
  CHECK(HttpStatus(nullptr) == 200);

  Violations violations = OneViolation("sampling.steps", "is 0");
  violations.Add("sparse.skip", "is 2");
  const FieldNames names = {{"sampling", "diffusion"}, {"sparse", "diffusion.sparse"}};
  const json error = json::parse(OpenAiError(BadFields(violations), names))["error"];
  CHECK(error["param"] == "diffusion.steps");
  CHECK(error["message"] == "diffusion.steps: is 0; diffusion.sparse.skip: is 2");
  CHECK(json::parse(OpenAiError(Draining(), {}))["error"]["param"].is_null());
}

}  // namespace
}  // namespace sparsed::server
