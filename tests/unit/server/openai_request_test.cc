#include <map>

#include "server/http_openai_request.h"
#include "tests/unit/server/validate_fixture.h"

namespace sparsed::server {
namespace {

// JSON as a call, and what is wrong with it by field.
class OpenAiFixture : public ValidateFixture {
 public:
  OpenAiFixture() { model.name = "tiny"; }

  OpenAiCall Parse(const std::string& body, bool chat) {
    OpenAiCall call;
    call.chat = chat;
    const auto failure = ParseOpenAi(body, &call);
    INFO(body << " " << (failure ? failure->status.message() : ""));
    REQUIRE_FALSE(failure.has_value());
    return call;
  }
  OpenAiCall Chat(const std::string& fields) {
    return Parse(R"({"messages":[{"role":"user","content":"hi"}])" + fields + "}", true);
  }
  OpenAiCall Completion(const std::string& fields) {
    return Parse(R"({"prompt":"hi")" + fields + "}", false);
  }

  // By the names that the JSON has for the fields, of the parser or of validation.
  std::map<std::string, std::string> WrongOf(const std::string& body, bool chat) {
    OpenAiCall call;
    call.chat = chat;
    auto failure = ParseOpenAi(body, &call);
    if (!failure) failure = Check(call.request);
    INFO(body);
    REQUIRE(failure.has_value());
    CHECK(failure->code() == grpc::StatusCode::INVALID_ARGUMENT);
    std::map<std::string, std::string> wrong;
    const auto bad = DetailOf<google::rpc::BadRequest>(*failure);
    for (const auto& one : bad.field_violations()) {
      wrong[JsonField(call.names, one.field())] = one.description();
    }
    return wrong;
  }
  std::string OnlyWrongOf(const std::string& body, bool chat) {
    const auto wrong = WrongOf(body, chat);
    INFO(absl::StrCat(body, ": ", wrong.begin()->first, ", ", wrong.rbegin()->first));
    REQUIRE(wrong.size() == 1);
    return wrong.begin()->first;
  }
  std::string WrongInChat(const std::string& fields) {
    return OnlyWrongOf(R"({"messages":[{"role":"user","content":"hi"}],)" + fields + "}", true);
  }
  std::string WrongInCompletion(const std::string& fields) {
    return OnlyWrongOf(R"({"prompt":"hi",)" + fields + "}", false);
  }
};

TEST_CASE_METHOD(OpenAiFixture, "openai: a chat request becomes ours") {
  const OpenAiCall call = Parse(
      R"({"model":"tiny","messages":[{"role":"developer","content":"be brief"},
          {"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}],
          "max_completion_tokens":64,"temperature":0.5,"seed":7,"stop":["x","yy"],"stream":true,
          "stream_options":{"include_usage":true},"user":"u","metadata":{"a":"b"},"store":false,
          "diffusion":{"steps":16,"block_length":32,"algorithm":"random","cfg_scale":1.5,
          "stream_frames":true,"token_confidences":true,"sparse":{"mode":"sparsed","select":0.25,"skip":0.5,
          "block_size":64,"scale":"n_heads"}}})",
      true);
  const v1::GenerateRequest& request = call.request;
  CHECK(request.model() == "tiny");
  REQUIRE(request.chat().messages_size() == 2);
  CHECK(request.chat().messages(0).role() == "system");
  CHECK(request.chat().messages(1).content() == "ab");
  const v1::SamplingOptions& sampling = request.sampling();
  CHECK(sampling.gen_length() == 64);
  CHECK(sampling.temperature() == 0.5f);
  CHECK(sampling.seed() == 7);
  CHECK(sampling.stop_size() == 2);
  CHECK(sampling.steps() == 16);
  CHECK(sampling.block_length() == 32);
  CHECK(sampling.remasking() == v1::REMASKING_RANDOM);
  CHECK(sampling.cfg_scale() == 1.5f);
  CHECK(request.sparse().mode() == v1::SPARSE_MODE_SPARSED);
  CHECK(request.sparse().select() == 0.25f);
  CHECK(request.sparse().skip() == 0.5f);
  CHECK(request.sparse().block_size() == 64);
  CHECK(request.sparse().scale() == v1::SELECTION_SCALE_N_HEADS);
  CHECK((call.stream && call.include_usage && call.frames && request.token_confidences()));
  CHECK_FALSE(Check(request).has_value());
}

TEST_CASE_METHOD(OpenAiFixture, "openai: a completion's prompt is text, ids or one of either") {
  CHECK(Completion("").request.prompt() == "hi");
  CHECK_FALSE(Completion("").request.sampling().has_gen_length());
  CHECK(Parse(R"({"prompt":["a"],"max_tokens":8})", false).request.prompt() == "a");
  for (const char* body : {R"({"prompt":[5,6]})", R"({"prompt":[[5,6]]})"}) {
    const v1::TokenIds ids = Parse(body, false).request.token_ids();
    CHECK(ids.ids_size() == 2);
  }
  for (const char* prompt : {R"(["a","b"])", "7", "{}", "[[5],[6]]"}) {
    CHECK(OnlyWrongOf(absl::StrCat(R"({"prompt":)", prompt, "}"), false) == "prompt");
  }
  CHECK(OnlyWrongOf(R"({"prompt":[5,-1]})", false) == "prompt[1]");
  CHECK(OnlyWrongOf(R"({"prompt":[20,99999]})", false) == "prompt[1]");
  CHECK(OnlyWrongOf("{}", false) == "prompt");
  CHECK(OnlyWrongOf(R"({"prompt":""})", false) == "prompt");
}

TEST_CASE_METHOD(OpenAiFixture, "openai: a suffix makes an infill of one hole") {
  const v1::Infill infill = Completion(R"(,"suffix":"end","max_tokens":8)").request.infill();
  REQUIRE(infill.parts_size() == 3);
  CHECK(infill.parts(0).text() == "hi");
  CHECK(infill.parts(1).hole_tokens() == 8);
  CHECK(infill.parts(2).text() == "end");
  CHECK(Completion(R"(,"suffix":"end")").request.infill().parts(1).hole_tokens() == 128);
  CHECK(Parse(R"({"suffix":"end"})", false).request.infill().parts_size() == 2);
  CHECK(Completion(R"(,"suffix":"")").request.has_prompt());
  CHECK(WrongInCompletion(R"("suffix":"end","max_tokens":0)") == "max_tokens");
  CHECK(WrongInCompletion(R"("suffix":"end","stop":"x")") == "stop");
  CHECK(OnlyWrongOf(R"({"prompt":[5],"suffix":"end"})", false) == "suffix");
}

TEST_CASE_METHOD(OpenAiFixture,
                 "openai: what means nothing is refused by its name, or says nothing") {
  for (const char* field :
       {R"("n":2)", R"("tools":[{"type":"function"}])", R"("logprobs":true)", R"("best_of":2)",
        R"("echo":true)", R"("logit_bias":{"5":1})", R"("presence_penalty":0.5)",
        R"("frequency_penalty":-1)", R"("functions":[{}])", R"("audio":{})",
        R"("response_format":{"type":"json_schema","json_schema":{}})",
        R"("response_format":{"type":"json_object"})", R"("tool_choice":"required")",
        R"("unheard_of":1)", R"("suffix":"x")", R"("prompt":"x")"}) {
    const std::string name(field + 1, std::string(field).find('"', 1) - 1);
    CHECK(WrongInChat(field) == name);
  }
  CHECK(WrongInChat(R"("":1)") == "body");
  CHECK(WrongInCompletion(R"("messages":[])") == "messages");
  CHECK(WrongInCompletion(R"("max_completion_tokens":8)") == "max_completion_tokens");
  Chat(R"(,"n":1,"tools":[],"tool_choice":"none","logprobs":false,"top_logprobs":0,"logit_bias":{},
         "presence_penalty":0,"frequency_penalty":0.0,"response_format":{"type":"text"},
         "parallel_tool_calls":true,"functions":null,"top_p":1,"stop":null,"unheard_of":null)");
  Completion(R"(,"best_of":1,"echo":false,"logprobs":null,"n":1)");
}

TEST_CASE_METHOD(OpenAiFixture, "openai: values of the wrong kind are named") {
  for (const auto& [field, name] : std::map<std::string, std::string>{
           {R"("stream":1)", "stream"},
           {R"("max_tokens":-1)", "max_tokens"},
           {R"("max_tokens":1.5)", "max_tokens"},
           {R"("max_tokens":4294967296)", "max_tokens"},
           {R"("max_tokens":0)", "max_tokens"},
           {R"("max_completion_tokens":1000)", "max_completion_tokens"},
           {R"("max_tokens":8,"max_completion_tokens":9)", "max_tokens"},
           {R"("temperature":"hot")", "temperature"},
           {R"("temperature":-1)", "temperature"},
           {R"("seed":-1)", "seed"},
           {R"("top_p":0.5)", "top_p"},
           {R"("stop":7)", "stop"},
           {R"("stop":"")", "stop"},
           {R"("stop":["a",""])", "stop[1]"},
           {R"("model":7)", "model"},
           {R"("stream_options":7)", "stream_options"},
           {R"("stream_options":{"more":true})", "stream_options.more"},
           {R"("diffusion":7)", "diffusion"},
           {R"("diffusion":{"steps":5})", "diffusion.steps"},
           {R"("diffusion":{"steps":"x"})", "diffusion.steps"},
           {R"("diffusion":{"genLength":5})", "diffusion.genLength"},
           {R"("diffusion":{"gen_length":5})", "diffusion.gen_length"},
           {R"("diffusion":{"stop":["a"]})", "diffusion.stop"},
           {R"("diffusion":{"remasking":"never"})", "diffusion.remasking"},
           {R"("diffusion":{"remasking":1})", "diffusion.remasking"},
           {R"("diffusion":{"algorithm":"origin","block_length":32})", "diffusion.block_length"},
           {R"("diffusion":{"algorithm":"random","remasking":"random"})", "diffusion.algorithm"},
           {R"("diffusion":{"temperature":200})", "diffusion.temperature"},
           {R"("temperature":1,"diffusion":{"temperature":1})", "temperature"},
           {R"("diffusion":{"stream_frames":true})", "diffusion.stream_frames"},
           {R"("diffusion":{"token_confidences":1})", "diffusion.token_confidences"},
           {R"("diffusion":{"sparse":[]})", "diffusion.sparse"},
           {R"("diffusion":{"sparse":{"mode":"on"}})", "diffusion.sparse.mode"},
           {R"("diffusion":{"sparse":{"select":2}})", "diffusion.sparse.select"},
       }) {
    INFO(field);
    CHECK(WrongInChat(field) == name);
  }
}

TEST_CASE_METHOD(OpenAiFixture, "openai: an inspection is asked for where the path has them") {
  CHECK(WrongInCompletion(R"("inspect":{})") == "inspect");
  const auto read = [](const std::string& object, OpenAiCall* call) {
    call->inspect.emplace();
    return ParseOpenAi(R"({"prompt":"hi","inspect":)" + object + "}", call);
  };
  OpenAiCall call;
  CHECK_FALSE(read(R"({"layers":[1],"heads":[2,3],"steps":[4],"importance":true})", &call));
  v1::InspectRequest expected;
  expected.add_layers(1);
  for (const uint32_t head : {2u, 3u}) expected.add_heads(head);
  expected.add_steps(4);
  expected.set_importance(true);
  CHECK(call.inspect->SerializeAsString() == expected.SerializeAsString());
  CHECK(JsonField(call.names, "steps[0]") == "inspect.steps[0]");
  CHECK(JsonField(call.names, "sampling.steps") == "diffusion.steps");
  for (const auto& [body, field] :
       std::map<std::string, std::string>{{"[]", "inspect"},
                                          {R"({"steps":["x"]})", "inspect.steps"},
                                          {R"({"request":{}})", "inspect.request"},
                                          {R"({"depth":1})", "inspect.depth"}}) {
    OpenAiCall wrong;
    const auto failure = read(body, &wrong);
    INFO(body);
    REQUIRE(failure.has_value());
    const auto bad = DetailOf<google::rpc::BadRequest>(*failure);
    REQUIRE(bad.field_violations_size() == 1);
    CHECK(bad.field_violations(0).field() == field);
  }
}

TEST_CASE_METHOD(OpenAiFixture, "openai: messages are named by their place") {
  const auto wrong = [this](const char* messages) {
    return OnlyWrongOf(absl::StrCat(R"({"messages":)", messages, "}"), true);
  };
  CHECK(OnlyWrongOf("{}", true) == "messages");
  CHECK(wrong("[]") == "messages");
  CHECK(wrong("7") == "messages");
  CHECK(wrong("[7]") == "messages[0]");
  CHECK(wrong(R"([{"role":"user","content":"a"},{"role":"tool","content":"b"}])") ==
        "messages[1].role");
  CHECK(wrong(R"([{"role":"user"}])") == "messages[0].content");
  CHECK(wrong(R"([{"role":"user","content":7}])") == "messages[0].content");
  CHECK(wrong(R"([{"role":"user","content":"a","tool_calls":[]}])") == "messages[0].tool_calls");
  CHECK(wrong(R"([{"role":"user","content":[{"type":"image_url"}]}])") ==
        "messages[0].content[0].type");
  CHECK(wrong(R"([{"role":"user","content":[{"type":"text"}]}])") == "messages[0].content[0].text");
  // As answers come back from the SDK.
  Parse(R"({"messages":[{"role":"assistant","content":"a","refusal":null,"tool_calls":null}]})",
        true);
}

TEST_CASE_METHOD(OpenAiFixture, "openai: a body that is no object of JSON is refused whole") {
  const std::string deep = R"({"a":)" + std::string(50, '[') + std::string(50, ']') + "}";
  for (const std::string& body :
       {std::string(), std::string("["), std::string("7"), std::string("[]"),
        std::string("{\"model\":\"\xff\"}"), deep, std::string(100000, '[')}) {
    CHECK(OnlyWrongOf(body, true) == "body");
  }
}

TEST_CASE("openai: names of fields end where parts of them do") {
  const FieldNames names = {{"sampling.stop", "stop"}, {"sampling", "diffusion"}};
  CHECK(JsonField(names, "sampling.stop") == "stop");
  CHECK(JsonField(names, "sampling.stop[1]") == "stop[1]");
  CHECK(JsonField(names, "sampling.stop_at_end") == "diffusion.stop_at_end");
  CHECK(JsonField(names, "samplings") == "samplings");
}

}  // namespace
}  // namespace sparsed::server
