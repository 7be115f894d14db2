#include "tests/unit/server/validate_fixture.h"

namespace sparsed::server {
namespace {

v1::GenerateRequest WithIds(const std::vector<uint32_t>& ids) {
  v1::GenerateRequest request;
  request.mutable_token_ids();
  for (const uint32_t id : ids) request.mutable_token_ids()->add_ids(id);
  return request;
}

// Text, or a hole where the text is empty.
v1::GenerateRequest WithParts(const std::vector<std::pair<std::string, uint32_t>>& parts) {
  v1::GenerateRequest request;
  request.mutable_infill();
  for (const auto& [text, hole] : parts) {
    v1::InfillPart* part = request.mutable_infill()->add_parts();
    if (text.empty()) {
      part->set_hole_tokens(hole);
    } else {
      part->set_text(text);
    }
  }
  return request;
}

v1::GenerateRequest WithChat(const std::vector<std::pair<std::string, std::string>>& turns) {
  v1::GenerateRequest request;
  request.mutable_chat();
  for (const auto& [role, content] : turns) {
    v1::ChatMessage* message = request.mutable_chat()->add_messages();
    message->set_role(role);
    message->set_content(content);
  }
  return request;
}

using TokenIds = std::vector<int32_t>;

}  // namespace

TEST_CASE_METHOD(ValidateFixture, "validate: a prompt becomes ids and a canvas behind them") {
  v1::GenerateRequest request = Good();
  request.mutable_sampling()->set_gen_length(3);
  CHECK_FALSE(Check(request).has_value());
  CHECK(valid.request.ids ==
        TokenIds{IdOf('h'), IdOf('e'), IdOf('l'), IdOf('l'), IdOf('o'), kMask, kMask, kMask});
  CHECK(valid.request.canvas == TokenIds{5, 6, 7});
  CHECK(valid.prompt_tokens() == 5);
  CHECK(valid.canvas_tokens() == 3);
  REQUIRE(valid.parts.size() == 1);
  CHECK(valid.parts[0].hole_tokens == 3);
  CHECK_FALSE(valid.infill);
}

TEST_CASE_METHOD(ValidateFixture, "validate: prompts that are refused") {
  v1::GenerateRequest request;
  CHECK(OnlyWrong(request) ==
        "input: is missing; one of prompt, chat, token_ids, infill is needed");
  request.set_prompt("");
  CHECK(OnlyWrong(request) == "prompt: is empty; at least 1 token is needed");
  request.set_prompt("ab<5>c");
  CHECK(OnlyWrong(request) ==
        "prompt: holds the mask token (id 5) as token 2; masks are for the holes of `infill`");
  request.set_prompt("\xFF");
  CHECK(OnlyWrong(request).rfind("prompt: ", 0) == 0);
  request.set_prompt("\xC3\xA9");  // of which the vocabulary has nothing
  CHECK(OnlyWrong(request) == "prompt: has no tokens; at least 1 is needed");
}

TEST_CASE_METHOD(ValidateFixture, "validate: token ids") {
  CHECK_FALSE(Check(WithIds({16, 17, 127, 0})).has_value());
  CHECK(OnlyWrong(WithIds({})) == "token_ids.ids: is empty; at least 1 id is needed");
  CHECK(OnlyWrong(WithIds({16, 5})) ==
        "token_ids.ids[1]: 5 is the mask token; only the holes of `infill` are masked");
  CHECK(OnlyWrong(WithIds({128})) == "token_ids.ids[0]: 128 is not below the vocabulary size 128");
  CHECK(OnlyWrong(WithIds({4294967295u})).find("4294967295") != std::string::npos);
  CHECK(Wrong(WithIds({128, 16, 129, 5})).size() == 3);
}

TEST_CASE_METHOD(ValidateFixture, "validate: conversations") {
  CHECK_FALSE(Check(WithChat({{"system", "a"}, {"user", "b"}, {"assistant", "c"}})).has_value());
  CHECK(valid.prompt_tokens() == 3);
  CHECK(OnlyWrong(WithChat({})) == "chat.messages: is empty; at least 1 message is needed");
  CHECK(OnlyWrong(WithChat({{"user", "a"}, {"robot", "b"}})) ==
        "chat.messages[1].role: 'robot' is not system, user or assistant");
  CHECK(OnlyWrong(WithChat({{"user", "raise"}})).find("made to fail") != std::string::npos);
  // Special tokens in a conversation are plain text.
  CHECK_FALSE(Check(WithChat({{"user", "a<5>b"}})).has_value());
  CHECK(valid.prompt_tokens() == 5);
}

TEST_CASE_METHOD(ValidateFixture, "validate: a conversation needs a chat template") {
  model.chat_template = nullptr;
  const std::optional<Failure> failure = Check(WithChat({{"user", "a"}}));
  REQUIRE(failure.has_value());
  CHECK(failure->code() == grpc::StatusCode::FAILED_PRECONDITION);
  CHECK(DetailOf<google::rpc::PreconditionFailure>(*failure).violations(0).subject() == "tiny");
}

TEST_CASE_METHOD(ValidateFixture, "validate: infill templates become ids with holes") {
  CHECK_FALSE(Check(WithParts({{"ab", 0}, {"", 2}, {"c", 0}, {"", 1}})).has_value());
  CHECK(valid.request.ids == TokenIds{IdOf('a'), IdOf('b'), kMask, kMask, IdOf('c'), kMask});
  CHECK(valid.request.canvas == TokenIds{2, 3, 5});
  CHECK(valid.infill);
  REQUIRE(valid.parts.size() == 4);
  CHECK(valid.parts[0].text == "ab");
  CHECK(valid.parts[1].hole_tokens == 2);
  CHECK(valid.request.sampling.steps == 3);
}

TEST_CASE_METHOD(ValidateFixture, "validate: an end token in one hole does not end the next") {
  CHECK_FALSE(Check(WithParts({{"ab", 0}, {"", 2}})).has_value());
  CHECK(valid.request.sampling.stop_at_end);
  CHECK_FALSE(Check(WithParts({{"ab", 0}, {"", 2}, {"", 1}})).has_value());
  CHECK_FALSE(valid.request.sampling.stop_at_end);
  CHECK(valid.text_options.stop_at_end);
}

TEST_CASE_METHOD(ValidateFixture, "validate: infill templates that are refused") {
  CHECK(OnlyWrong(WithParts({})) == "infill.parts: no hole; at least 1 is needed");
  CHECK(Wrong(WithParts({{"ab", 0}})).count("infill.parts") == 1);
  CHECK(OnlyWrong(WithParts({{"", 3}})) ==
        "infill.parts: no fixed text; at least 1 token of it is needed");
  CHECK(OnlyWrong(WithParts({{"ab", 0}, {"", 0}})) ==
        "infill.parts[1].hole_tokens: is 0; at least 1 is needed");
  CHECK(Wrong(WithParts({{"a<5>", 0}, {"", 2}})).count("infill.parts[0].text") == 1);
  v1::GenerateRequest empty_part = WithParts({{"ab", 0}, {"", 2}});
  empty_part.mutable_infill()->add_parts();
  CHECK(OnlyWrong(empty_part) == "infill.parts[2]: is neither text nor hole_tokens");

  v1::GenerateRequest with_options = WithParts({{"ab", 0}, {"", 2}});
  with_options.mutable_sampling()->set_gen_length(2);
  with_options.mutable_sampling()->add_stop(std::string("x"));
  const auto wrong = Wrong(with_options);
  CHECK(wrong.size() == 2);
  CHECK(wrong.count("sampling.gen_length") == 1);
  CHECK(wrong.count("sampling.stop") == 1);
}

TEST_CASE_METHOD(ValidateFixture,
                 "validate: prompt and canvas over the context, with both numbers") {
  v1::GenerateRequest request;
  request.set_prompt(std::string(384, 'a'));
  CHECK_FALSE(Check(request).has_value());
  request.set_prompt(std::string(385, 'a'));
  CHECK(OnlyWrong(request) ==
        "prompt: 385 prompt tokens and 128 canvas tokens make 513; the model's limit is 512");
  const std::optional<Failure> failure = Check(request);
  const auto info_detail = DetailOf<google::rpc::ErrorInfo>(*failure);
  CHECK(info_detail.reason() == "CONTEXT_LENGTH_EXCEEDED");
  CHECK(info_detail.domain() == "sparsed");
  CHECK(info_detail.metadata().at("tokens") == "513");
  CHECK(info_detail.metadata().at("max_tokens") == "512");

  v1::GenerateRequest long_canvas = Good();
  long_canvas.mutable_sampling()->set_gen_length(4294967295u);
  long_canvas.mutable_sampling()->set_steps(0);
  const auto wrong = Wrong(long_canvas);
  CHECK(wrong.count("sampling.gen_length") == 1);
  CHECK(wrong.count("sampling.steps") == 1);

  CHECK(Wrong(WithParts({{"a", 0}, {"", 4294967295u}, {"", 4294967295u}})).count("infill") == 1);
}

TEST_CASE_METHOD(ValidateFixture, "validate: another model is not found") {
  v1::GenerateRequest request = Good();
  request.set_model("tiny");
  CHECK_FALSE(Check(request).has_value());
  request.set_model("huge");
  request.mutable_sampling()->set_steps(0);
  const std::optional<Failure> failure = Check(request);
  REQUIRE(failure.has_value());
  CHECK(failure->code() == grpc::StatusCode::NOT_FOUND);
  CHECK(DetailOf<google::rpc::ResourceInfo>(*failure).resource_name() == "huge");
}

}  // namespace sparsed::server
