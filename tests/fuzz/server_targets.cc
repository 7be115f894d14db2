#include "tests/fuzz/server_targets.h"

#include <google/protobuf/any.pb.h>
#include <google/protobuf/stubs/logging.h>
#include <grpcpp/support/slice.h>

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/tokenizer/chat_template.h"
#include "engine/tokenizer/tokenizer.h"
#include "google/rpc/error_details.pb.h"
#include "kernels/check.h"
#include "server/http_openai_request.h"
#include "server/http_openai_response.h"
#include "server/inspection.h"
#include "server/kserve_tensors.h"
#include "server/options.h"
#include "server/settings.h"
#include "server/token_file.h"
#include "server/trace_context.h"
#include "server/validate.h"
#include "server/wire.h"
#include "tests/testing/letter_tokenizer.h"

namespace sparsed::fuzz {
namespace {

using server::Failure;

// What peers accept as metadata, its base64 and the message taken off.
constexpr size_t kMaxDetailBytes = 5000;
constexpr size_t kMaxMessageBytes = 1024;

std::string Text(const uint8_t* data, size_t size) {
  return std::string(reinterpret_cast<const char*>(data), size);
}

grpc::ByteBuffer Wire(const uint8_t* data, size_t size) {
  google::protobuf::SetLogHandler(nullptr);  // as the server does
  const grpc::Slice slice(data, size);
  return grpc::ByteBuffer(&slice, 1);
}

// A model of letters with a chat template.
class Letters {
 public:
  Letters() {
    info_.family = "llada";
    info_.vocab_size = testing::kLetterVocabulary;
    info_.max_tokens = 512;
    info_.num_layers = 2;
    info_.num_heads = 4;
    info_.head_dim = 64;
    info_.mask_token_id = testing::kLetterMask;
    info_.end_token_ids = {1, 4};
    auto tokenizer = engine::Tokenizer::Parse(testing::LetterTokenizerJson(), "");
    SPARSED_CHECK(tokenizer.ok(), "the tokenizer of letters loads");
    tokenizer_ = *std::move(tokenizer);
    auto chat_template = engine::ChatTemplate::Parse(
        "{% for turn in messages %}<2>{{ turn['role'] }}<3>{{ turn['content'] | trim }}<4>"
        "{% endfor %}",
        "", "");
    SPARSED_CHECK(chat_template.ok(), "its chat template loads");
    chat_template_ = *std::move(chat_template);
    model_.name = "letters";
    model_.info = &info_;
    model_.tokenizer = tokenizer_.get();
    model_.chat_template = chat_template_.get();
  }
  const server::ServedModel& model() const { return model_; }

 private:
  engine::ModelInfo info_;
  std::unique_ptr<engine::Tokenizer> tokenizer_;
  std::unique_ptr<engine::ChatTemplate> chat_template_;
  server::ServedModel model_;
};

const server::ServedModel& Model() {
  static const Letters letters;
  return letters.model();
}

void CheckFailure(const Failure& failure) {
  const grpc::StatusCode code = failure.code();
  SPARSED_CHECK(code == grpc::StatusCode::INVALID_ARGUMENT || code == grpc::StatusCode::NOT_FOUND,
                "it is the request's fault");
  const grpc::Status status = server::ToGrpcStatus(failure, std::string(128, 'i'));
  SPARSED_CHECK(!status.error_message().empty(), "an error has a reason");
  SPARSED_CHECK(status.error_message().size() <= kMaxMessageBytes, "messages are bounded");
  SPARSED_CHECK(engine::IsValidUtf8(status.error_message()), "messages are UTF-8");
  SPARSED_CHECK(status.error_details().size() <= kMaxDetailBytes, "details are bounded");
  google::rpc::Status rich;
  SPARSED_CHECK(rich.ParseFromString(status.error_details()), "details can be read");
  google::rpc::BadRequest bad;
  google::rpc::ResourceInfo resource;
  const bool first = code == grpc::StatusCode::NOT_FOUND ? rich.details(0).UnpackTo(&resource)
                                                         : rich.details(0).UnpackTo(&bad);
  SPARSED_CHECK(first, "the first detail is the code's");
  for (const auto& violation : bad.field_violations()) {
    SPARSED_CHECK(!violation.field().empty() && !violation.description().empty(),
                  "a violation has a field and a description");
  }
}

// As HTTP tells it.
void CheckOpenAiError(const Failure& failure, const server::FieldNames& names) {
  const auto body = nlohmann::json::parse(server::OpenAiError(failure, names), nullptr, false);
  SPARSED_CHECK(body.is_object() && body["error"].size() == 4, "an error has OpenAI's form");
  SPARSED_CHECK(body["error"]["param"].is_string(), "it names a field");
}

// What is inspected of a request that is right.
void CheckInspection(const v1::InspectRequest& request, const engine::Request& made,
                     const engine::ModelInfo& info) {
  const v1::InspectionStarted started = server::DescribeInspection(made, info);
  const auto check = [](const auto& numbers, uint32_t count, const char* what) {
    SPARSED_CHECK(numbers.size() > 0, what);
    for (int i = 0; i < numbers.size(); ++i) {
      SPARSED_CHECK(numbers[i] < count && (i == 0 || numbers[i - 1] < numbers[i]), what);
    }
  };
  check(started.layers(), static_cast<uint32_t>(info.num_layers), "layers are there, ascending");
  check(started.heads(), static_cast<uint32_t>(info.num_heads), "heads are there, ascending");
  check(started.steps(), static_cast<uint32_t>(made.sampling.steps), "steps are there, ascending");
  SPARSED_CHECK(started.steps_size() <= 17 && request.steps_size() <= 16, "steps are bounded");
  SPARSED_CHECK(started.blocks() >= 1 && started.first_canvas_block() < started.blocks(),
                "there are blocks");
}

// The request as the engine would get it.
bool Validate(const v1::GenerateRequest& request, const v1::InspectRequest* inspect = nullptr) {
  server::ValidRequest valid;
  if (const auto failure = server::ToEngineRequest(request, inspect, Model(), 77, &valid)) {
    CheckFailure(*failure);
    return false;
  }
  const engine::ModelInfo& info = *Model().info;
  const engine::Request& made = valid.request;
  const auto tokens = static_cast<int64_t>(made.ids.size());
  const auto canvas = static_cast<int64_t>(made.canvas.size());
  SPARSED_CHECK(tokens <= info.max_tokens, "it fits the context");
  SPARSED_CHECK(canvas >= 1 && canvas < tokens, "there are a canvas and a prompt");
  SPARSED_CHECK(std::count(made.ids.begin(), made.ids.end(), info.mask_token_id) == canvas,
                "masks are the canvas and nothing else");
  for (const int32_t id : made.ids) {
    SPARSED_CHECK(id >= 0 && id < info.vocab_size, "ids are in the vocabulary");
  }
  const engine::SamplingParams& sampling = made.sampling;
  SPARSED_CHECK(sampling.block_length >= 1 && canvas % sampling.block_length == 0,
                "blocks divide the canvas");
  SPARSED_CHECK(sampling.steps >= 1 && sampling.steps <= canvas &&
                    sampling.steps % (canvas / sampling.block_length) == 0,
                "steps divide among the blocks");
  SPARSED_CHECK(sampling.temperature >= 0 && sampling.temperature <= 100 &&
                    sampling.cfg_scale >= 0 && sampling.cfg_scale <= 100,
                "numbers are finite and in range");
  int64_t in_parts = 0;
  for (const engine::TemplatePart& part : valid.parts) in_parts += part.hole_tokens;
  SPARSED_CHECK(in_parts == canvas, "the text's parts have the canvas's tokens");
  if (inspect != nullptr) CheckInspection(*inspect, made, info);
  return true;
}

bool Infer(const inference::ModelInferRequest& request) {
  server::InferCall call;
  if (const auto failure = server::ParseInfer(request, &call)) {
    CheckFailure(*failure);
    return false;
  }
  SPARSED_CHECK(call.request.has_prompt() || call.request.has_chat(), "a text has been found");
  return Validate(call.request);
}

inference::ModelInferRequest::InferInputTensor* AddBytes(inference::ModelInferRequest& request,
                                                         const char* name) {
  auto* tensor = request.add_inputs();
  tensor->set_name(name);
  tensor->set_datatype("BYTES");
  tensor->add_shape(1);
  return tensor;
}

}  // namespace

bool FuzzGenerateRequest(const uint8_t* data, size_t size) {
  v1::GenerateRequest request;
  if (const auto failure = server::ParseMessage(Wire(data, size), &request)) {
    CheckFailure(*failure);
    return false;
  }
  return Validate(request);
}

bool FuzzInspectRequest(const uint8_t* data, size_t size) {
  v1::InspectRequest request;
  if (const auto failure = server::ParseMessage(Wire(data, size), &request)) {
    CheckFailure(*failure);
    return false;
  }
  return Validate(request.request(), &request);
}

bool FuzzInferRequest(const uint8_t* data, size_t size) {
  inference::ModelInferRequest request;
  if (const auto failure = server::ParseMessage(Wire(data, size), &request)) {
    CheckFailure(*failure);
    return false;
  }
  return Infer(request);
}

bool FuzzRawTensor(const uint8_t* data, size_t size) {
  const std::string raw = Text(data, size);
  const auto elements = server::SplitRawBytes(raw);
  if (elements) {
    SPARSED_CHECK(server::JoinRawBytes(*elements) == raw, "elements are all of the bytes");
  }
  inference::ModelInferRequest request;
  request.set_model_name("letters");
  AddBytes(request, "text_input");
  request.add_raw_input_contents(raw);
  const bool accepted = Infer(request);
  SPARSED_CHECK(!accepted || (elements && elements->size() == 1), "there is one text");
  return accepted;
}

bool FuzzSamplingParameters(const uint8_t* data, size_t size) {
  inference::ModelInferRequest request;
  request.set_model_name("letters");
  AddBytes(request, "text_input")->mutable_contents()->add_bytes_contents("hello");
  AddBytes(request, "sampling_parameters")
      ->mutable_contents()
      ->add_bytes_contents(Text(data, size));
  return Infer(request);
}

bool FuzzOpenAiRequest(const uint8_t* data, size_t size) {
  const std::string body = Text(data, size);
  bool accepted = false;
  for (const bool chat : {true, false}) {
    server::OpenAiCall call;
    call.chat = chat;
    if (const auto failure = server::ParseOpenAi(body, &call)) {
      CheckFailure(*failure);
      CheckOpenAiError(*failure, call.names);
    } else {
      SPARSED_CHECK(!call.frames || call.stream, "frames are a stream's");
      accepted = Validate(call.request) || accepted;
    }
  }
  return accepted;
}

bool FuzzTraceContext(const uint8_t* data, size_t size) {
  const std::string text = Text(data, size);
  const size_t line = std::min(text.find('\n'), text.size());
  const std::string state = line < text.size() ? text.substr(line + 1) : "";
  if (server::IsTraceState(state)) {
    SPARSED_CHECK(state.size() <= 512 && std::count(state.begin(), state.end(), '=') <= 32,
                  "the state is bounded");
    for (const unsigned char c : state) {
      SPARSED_CHECK((c >= ' ' && c <= '~') || c == '\t', "the state is visible");
    }
  }
  const std::string header = text.substr(0, line);
  const auto context = server::ParseTraceParent(header);
  if (!context) return false;
  for (const auto& [id, digits] : {std::pair(context->trace_id, 32), {context->parent_id, 16}}) {
    SPARSED_CHECK(static_cast<int>(id.size()) == digits, "ids have their length");
    SPARSED_CHECK(id.find_first_not_of("0123456789abcdef") == std::string::npos,
                  "ids are hexadecimal");
    SPARSED_CHECK(id.find_first_not_of('0') != std::string::npos, "no id is zero");
    SPARSED_CHECK(header.find(id) != std::string::npos, "ids are the caller's");
  }
  return true;
}

bool FuzzTokenFile(const uint8_t* data, size_t size) {
  const auto tokens = server::ParseTokens(Text(data, size));
  if (!tokens.ok()) {
    SPARSED_CHECK(!tokens.status().message().empty(), "an error has a reason");
    return false;
  }
  SPARSED_CHECK(!tokens->empty(), "somebody is let in");
  const auto is_visible = [](unsigned char c) { return std::isgraph(c) != 0; };
  for (const server::TokenEntry& entry : *tokens) {
    const std::string& name = entry.caller.name;
    SPARSED_CHECK(!name.empty() && std::all_of(name.begin(), name.end(), is_visible),
                  "names are visible");
  }
  SPARSED_CHECK(!server::FindToken(*tokens, "a token of nobody"), "no one else is let in");
  return true;
}

bool FuzzConfigFile(const uint8_t* data, size_t size) {
  const server::Settings settings = server::ResolveSettings(
      {}, [](const std::string&) { return nullptr; }, Text(data, size), "f.json");
  if (!settings.errors.empty()) {
    for (const std::string& error : settings.errors) {
      SPARSED_CHECK(error.find("f.json") != std::string::npos, "an error names the file");
    }
    return false;
  }
  const auto printed = nlohmann::json::parse(server::PrintSettings(settings), nullptr, false);
  const auto options = server::Options();
  SPARSED_CHECK(printed.is_object() && printed.size() == options.size(), "settings are printed");
  // What a setting shows is what it takes.
  server::Config again;
  for (const server::Option& option : options) {
    const nlohmann::ordered_json value = option.get(settings.config);
    const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
    if (text.empty()) continue;
    SPARSED_CHECK(option.set(text, again).empty(), "a setting that is set can be set");
    SPARSED_CHECK(option.get(again) == value, "it stays what it is");
  }
  return true;
}

}  // namespace sparsed::fuzz
