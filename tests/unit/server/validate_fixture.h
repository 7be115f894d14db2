// A served model of letters, and what validation says of a request to it.
#pragma once

#include <map>
#include <string>

#include "server/validate.h"
#include "tests/unit/server/fakes.h"

namespace sparsed::server {

class ValidateFixture {
 public:
  ValidateFixture() {
    info.family = "llada";
    info.vocab_size = kVocabulary;
    info.max_tokens = 512;
    info.mask_token_id = kMask;
    info.end_token_ids = {1, 4};
    model.name = "tiny";
    model.info = &info;
    model.tokenizer = tokenizer.get();
    model.chat_template = chat_template.get();
  }

  // A request that is fine.
  static v1::GenerateRequest Good() {
    v1::GenerateRequest request;
    request.set_prompt("hello");
    return request;
  }

  std::optional<Failure> Check(const v1::GenerateRequest& request) {
    valid = ValidRequest();
    return ToEngineRequest(request, inspect, model, 77, &valid);
  }

  // Field to description of everything that is wrong; the code must be INVALID_ARGUMENT.
  std::map<std::string, std::string> Wrong(const v1::GenerateRequest& request) {
    const std::optional<Failure> failure = Check(request);
    REQUIRE(failure.has_value());
    CHECK(failure->code() == grpc::StatusCode::INVALID_ARGUMENT);
    std::map<std::string, std::string> wrong;
    const auto bad = DetailOf<google::rpc::BadRequest>(*failure);
    for (const auto& one : bad.field_violations()) {
      wrong[one.field()] = one.description();
    }
    return wrong;
  }
  // The only field that is wrong, and its description.
  std::string OnlyWrong(const v1::GenerateRequest& request) {
    const auto wrong = Wrong(request);
    REQUIRE(wrong.size() == 1);
    return wrong.begin()->first + ": " + wrong.begin()->second;
  }

  const std::unique_ptr<engine::Tokenizer> tokenizer = MakeTokenizer();
  const std::unique_ptr<engine::ChatTemplate> chat_template = MakeChatTemplate();
  engine::ModelInfo info;
  ServedModel model;
  ValidRequest valid;
  const v1::InspectRequest* inspect = nullptr;  // what the next request is checked with
};

}  // namespace sparsed::server
