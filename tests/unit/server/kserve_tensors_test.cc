#include "server/kserve_tensors.h"

#include <random>

#include "tests/testing/sanitizers.h"
#include "tests/unit/server/fakes.h"

namespace sparsed::server {
namespace {

using inference::ModelInferRequest;

ModelInferRequest::InferInputTensor* AddInput(ModelInferRequest& request, const char* name,
                                              const char* datatype) {
  auto* tensor = request.add_inputs();
  tensor->set_name(name);
  tensor->set_datatype(datatype);
  tensor->add_shape(1);
  return tensor;
}

// With text_input in its contents.
ModelInferRequest MakeRequest(const std::string& text) {
  ModelInferRequest request;
  request.set_model_name("nano");
  request.set_id("i1");
  AddInput(request, "text_input", "BYTES")->mutable_contents()->add_bytes_contents(text);
  return request;
}

void AddParameters(ModelInferRequest& request, const std::string& json) {
  AddInput(request, "sampling_parameters", "BYTES")->mutable_contents()->add_bytes_contents(json);
}

// The fields that are complained about.
std::vector<std::string> Fields(const ModelInferRequest& request) {
  InferCall call;
  const auto failure = ParseInfer(request, &call);
  std::vector<std::string> fields;
  if (!failure) return fields;
  CHECK(failure->code() == grpc::StatusCode::INVALID_ARGUMENT);
  const auto bad = DetailOf<google::rpc::BadRequest>(*failure);
  for (const auto& violation : bad.field_violations()) {
    fields.push_back(violation.field());
  }
  return fields;
}

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("kserve: contents and raw bytes say the same") {
  ModelInferRequest contents = MakeRequest("hello");
  AddInput(contents, "stream", "BOOL")->mutable_contents()->add_bool_contents(true);
  AddParameters(contents, R"({"max_tokens": 64, "steps": 16, "stop": ["x"],
                              "sparse": {"mode": "SPARSE_MODE_OFF"}})");
  (*contents.mutable_parameters())["triton_enable_empty_final_response"].set_bool_param(true);

  ModelInferRequest raw = contents;
  for (int i = 0; i < raw.inputs_size(); ++i) {
    const auto& tensor = contents.inputs(i).contents();
    raw.mutable_inputs(i)->clear_contents();
    raw.add_raw_input_contents(i == 1 ? std::string(1, '\1')
                                      : JoinRawBytes({tensor.bytes_contents(0)}));
  }
  for (const ModelInferRequest& request : {contents, raw}) {
    InferCall call;
    const auto failure = ParseInfer(request, &call);
    INFO((failure ? failure->status.ShortDebugString() : ""));
    REQUIRE_FALSE(failure.has_value());
    CHECK(call.stream);
    CHECK(call.empty_final);
    CHECK(call.request.model() == "nano");
    CHECK(call.request.request_id() == "i1");
    CHECK(call.request.prompt() == "hello");
    CHECK(call.request.sampling().gen_length() == 64);
    CHECK(call.request.sampling().steps() == 16);
    CHECK(call.request.sampling().stop(0) == "x");
    CHECK(call.request.sparse().mode() == v1::SPARSE_MODE_OFF);
  }
}

TEST_CASE("kserve: with chat the text is a user's turn") {
  ModelInferRequest request = MakeRequest("hello");
  AddParameters(request, R"({"chat": true})");
  InferCall call;
  REQUIRE_FALSE(ParseInfer(request, &call).has_value());
  REQUIRE(call.request.chat().messages_size() == 1);
  CHECK(call.request.chat().messages(0).role() == "user");
  CHECK(call.request.chat().messages(0).content() == "hello");
  CHECK_FALSE(call.stream);
}

TEST_CASE("kserve: every mistake names its tensor") {
  ModelInferRequest request;
  CHECK(Fields(request) == Names{"inputs"});
  request = MakeRequest("a");
  request.mutable_inputs(0)->set_datatype("FP32");
  CHECK(Fields(request) == Names{"inputs[0].datatype"});
  for (const std::vector<int64_t>& shape :
       {std::vector<int64_t>{}, {0}, {2}, {-1}, {1, 2}, {1, 1, 1}}) {
    request = MakeRequest("a");
    request.mutable_inputs(0)->clear_shape();
    for (const int64_t size : shape) request.mutable_inputs(0)->add_shape(size);
    CHECK(Fields(request) == Names{"inputs[0].shape"});
  }
  request = MakeRequest("a");
  request.mutable_inputs(0)->mutable_contents()->add_bytes_contents("second");
  AddInput(request, "temperature", "FP32");
  CHECK(Fields(request) == Names{"inputs[0]", "inputs[1].name"});
  request = MakeRequest("a");
  request.add_outputs()->set_name("logits");
  CHECK(Fields(request) == Names{"outputs"});
  request = MakeRequest("a");
  request.add_raw_input_contents(JoinRawBytes({"a"}));
  CHECK(Fields(request) == Names{"inputs[0].contents"});
  request.add_raw_input_contents("");
  CHECK(Fields(request) == Names{"raw_input_contents"});
  for (const char* json :
       {"", "[]", "{", R"({"steps": "many"})", R"({"nope": 1})", R"({"steps": -1})"}) {
    request = MakeRequest("a");
    AddParameters(request, json);
    INFO(json);
    CHECK(Fields(request) == Names{"sampling_parameters"});
  }
  request = MakeRequest("a");
  AddParameters(request, R"({"chat": 1, "sparse": 3, "max_tokens": 1, "gen_length": 2})");
  CHECK(Fields(request) == Names{"sampling_parameters.chat", "sampling_parameters.sparse",
                                 "sampling_parameters.max_tokens"});
}

TEST_CASE("kserve: parameters nested as deeply as a message holds are refused") {
  constexpr size_t kDepth = testing::kSanitizer ? 100000 : 1000000;
  for (const auto& [open, close] : {std::pair("[", "]"), {"{\"a\":", "}"}}) {
    std::string json = "{\"sparse\": {\"mode\": ";
    for (size_t i = 0; i < kDepth; ++i) json += open;
    json += "1";
    for (size_t i = 0; i < kDepth; ++i) json += close;
    ModelInferRequest request = MakeRequest("a");
    AddParameters(request, json + "}}");
    CHECK(Fields(request) == Names{"sampling_parameters"});
  }
}

TEST_CASE("kserve: raw bytes split into what they were joined from, or not at all") {
  CHECK(SplitRawBytes("") == Names{});
  CHECK(JoinRawBytes({"abc"}) == std::string("\3\0\0\0abc", 7));
  const Names elements = {"", "a", std::string(300, 'x'), std::string("\0\1", 2)};
  const std::string raw = JoinRawBytes(elements);
  CHECK(SplitRawBytes(raw) == elements);
  for (const std::string& bad : {std::string("\1"), std::string("\1\0\0\0", 4),
                                 std::string("\xff\xff\xff\xff", 4) + "abc", raw + "x"}) {
    CHECK_FALSE(SplitRawBytes(bad).has_value());
  }
  // Whatever bytes come, the answer joins back to them or is none.
  std::mt19937 random(1);
  for (int i = 0; i < 2000; ++i) {
    std::string bytes(random() % 24, '\0');
    for (char& c : bytes) c = static_cast<char>(random() % 4 == 0 ? random() : 0);
    const auto split = SplitRawBytes(bytes);
    if (split) CHECK(JoinRawBytes(*split) == bytes);
  }
}

}  // namespace sparsed::server
