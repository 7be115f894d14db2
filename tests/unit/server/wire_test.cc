#include "server/wire.h"

#include "sparsed/v1/generation.pb.h"
#include "tests/unit/server/fakes.h"

namespace sparsed::server {
namespace {

constexpr char kBad[] = "ab\xFF";

grpc::ByteBuffer ToBuffer(const std::string& bytes) {
  // Two slices, since messages arrive in pieces.
  const grpc::Slice slices[] = {grpc::Slice(bytes.substr(0, bytes.size() / 2)),
                                grpc::Slice(bytes.substr(bytes.size() / 2))};
  return grpc::ByteBuffer(slices, 2);
}

// Serialising a bad string only warns, so that bad bytes can be made.
template <typename Message>
std::string FieldOf(const Message& bad) {
  Message parsed;
  const std::optional<Failure> failure = ParseMessage(ToBuffer(bad.SerializeAsString()), &parsed);
  REQUIRE(failure.has_value());
  CHECK(failure->code() == grpc::StatusCode::INVALID_ARGUMENT);
  return DetailOf<google::rpc::BadRequest>(*failure).field_violations(0).field();
}

}  // namespace

TEST_CASE("wire: messages come back as they went") {
  v1::GenerateRequest request;
  request.set_prompt("gr\xC3\xBC\xC3\x9F dich");
  request.mutable_sampling()->set_temperature(0.5f);
  v1::GenerateRequest parsed;
  CHECK_FALSE(ParseMessage(SerializeMessage(request), &parsed).has_value());
  CHECK(parsed.SerializeAsString() == request.SerializeAsString());
  CHECK_FALSE(ParseMessage(grpc::ByteBuffer(), &parsed).has_value());
}

TEST_CASE("wire: text that is not UTF-8 is named wherever it stands") {
  v1::GenerateRequest prompt;
  prompt.set_prompt(kBad);
  CHECK(FieldOf(prompt) == "prompt");

  v1::GenerateRequest chat;
  chat.mutable_chat()->add_messages()->set_content("fine");
  chat.mutable_chat()->add_messages()->set_content(kBad);
  CHECK(FieldOf(chat) == "chat.messages[1].content");

  v1::GenerateRequest infill;
  infill.mutable_infill()->add_parts()->set_hole_tokens(3);
  infill.mutable_infill()->add_parts()->set_text(kBad);
  CHECK(FieldOf(infill) == "infill.parts[1].text");

  v1::GenerateRequest stop;
  stop.mutable_sampling()->add_stop(std::string("fine"));
  stop.mutable_sampling()->add_stop(kBad);
  CHECK(FieldOf(stop) == "sampling.stop[1]");

  v1::StreamGenerateRequest streamed;
  *streamed.mutable_request() = prompt;
  CHECK(FieldOf(streamed) == "prompt");
}

TEST_CASE("wire: bytes that are no message are refused") {
  v1::GenerateRequest parsed;
  for (const std::string& bytes : {std::string("\xFF\xFF\xFF\xFF\xFF"), std::string("\x12\x7F"),
                                   std::string("\x12\x03"
                                               "ab"),
                                   std::string(1000, '\x0B'), std::string("\x00\x00", 2)}) {
    const std::optional<Failure> failure = ParseMessage(ToBuffer(bytes), &parsed);
    REQUIRE(failure.has_value());
    CHECK(failure->status.message().find("sparsed.v1.GenerateRequest") != std::string::npos);
  }
}

}  // namespace sparsed::server
