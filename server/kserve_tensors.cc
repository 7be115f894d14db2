#include "server/kserve_tensors.h"

#include <cstddef>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "server/client_json.h"
#include "server/violations.h"

namespace sparsed::server {
namespace {

using Tensor = inference::ModelInferRequest::InferInputTensor;

constexpr size_t kLengthBytes = 4;
constexpr int kMaxDepth = 8;  // of JSON; no option is nested so deeply

// A tensor's only element, as bytes: of BOOL one byte, 0 or 1.
std::optional<std::string> OnlyElement(const Tensor& tensor, const std::string* raw,
                                       const std::string& datatype, const std::string& field,
                                       Violations& violations) {
  if (tensor.datatype() != datatype) {
    violations.Add(absl::StrCat(field, ".datatype"), "is not ", datatype);
    return std::nullopt;
  }
  int64_t elements = 1;
  for (const int64_t size : tensor.shape()) elements = size == 1 ? elements : 0;
  if (elements != 1 || tensor.shape_size() == 0 || tensor.shape_size() > 2) {
    violations.Add(absl::StrCat(field, ".shape"), "is not [1]");
    return std::nullopt;
  }
  const bool is_bool = datatype == "BOOL";
  if (raw != nullptr) {
    if (is_bool && raw->size() == 1 && static_cast<unsigned char>((*raw)[0]) <= 1) return *raw;
    const auto split = is_bool ? std::nullopt : SplitRawBytes(*raw);
    if (split && split->size() == 1) return split->front();
  } else if (is_bool && tensor.contents().bool_contents_size() == 1) {
    return std::string(1, tensor.contents().bool_contents(0) ? '\1' : '\0');
  } else if (!is_bool && tensor.contents().bytes_contents_size() == 1) {
    return tensor.contents().bytes_contents(0);
  }
  violations.Add(field, "does not hold exactly one element of ", datatype);
  return std::nullopt;
}

void ReadParameters(const std::string& text, const std::string& field, bool* chat,
                    v1::GenerateRequest* request, Violations& violations) {
  nlohmann::json parameters;
  std::string wrong = ParseClientJson(text, kMaxDepth, &parameters);
  if (wrong.empty() && !parameters.is_object()) wrong = "is not a JSON object";
  if (!wrong.empty()) {
    violations.Add(field, wrong);
    return;
  }
  if (const auto it = parameters.find("chat"); it != parameters.end()) {
    if (!it->is_boolean()) violations.Add(absl::StrCat(field, ".chat"), "is not true or false");
    *chat = it->is_boolean() && it->get<bool>();
    parameters.erase("chat");
  }
  if (const auto it = parameters.find("sparse"); it != parameters.end()) {
    if (!it->is_object() || !ReadJson(*it, request->mutable_sparse())) {
      violations.Add(absl::StrCat(field, ".sparse"), "is not a sparsed.v1.SparseOptions");
    }
    parameters.erase("sparse");
  }
  if (const auto it = parameters.find("max_tokens"); it != parameters.end()) {
    if (parameters.contains("gen_length")) {
      violations.Add(absl::StrCat(field, ".max_tokens"), "is gen_length, which is given too");
    }
    nlohmann::json value = *it;
    parameters.erase("max_tokens");
    parameters["gen_length"] = value;
  }
  if (!ReadJson(parameters, request->mutable_sampling())) {
    violations.Add(field, "is not a sparsed.v1.SamplingOptions");
  }
}

bool BoolParameter(const inference::ModelInferRequest& request, const char* name) {
  const auto it = request.parameters().find(name);
  return it != request.parameters().end() && it->second.bool_param();
}

}  // namespace

std::optional<Failure> ParseInfer(const inference::ModelInferRequest& request, InferCall* call) {
  Violations violations;
  const bool raw = request.raw_input_contents_size() > 0;
  if (raw && request.raw_input_contents_size() != request.inputs_size()) {
    return BadFields(OneViolation("raw_input_contents", "has ", request.raw_input_contents_size(),
                                  " tensors for ", request.inputs_size(), " inputs"));
  }
  std::optional<std::string> text;
  bool chat = false;
  for (int i = 0; i < request.inputs_size(); ++i) {
    const Tensor& tensor = request.inputs(i);
    const std::string field = absl::StrCat("inputs[", i, "]");
    if (raw && tensor.has_contents()) {
      violations.Add(absl::StrCat(field, ".contents"), "is given, and raw_input_contents too");
      continue;
    }
    const std::string* bytes = raw ? &request.raw_input_contents(i) : nullptr;
    if (tensor.name() == "text_input") {
      text = OnlyElement(tensor, bytes, "BYTES", field, violations);
    } else if (tensor.name() == "stream") {
      const auto on = OnlyElement(tensor, bytes, "BOOL", field, violations);
      call->stream = on && on->front() == '\1';
    } else if (tensor.name() == "sampling_parameters") {
      const auto json = OnlyElement(tensor, bytes, "BYTES", field, violations);
      if (json) ReadParameters(*json, "sampling_parameters", &chat, &call->request, violations);
    } else {
      violations.Add(absl::StrCat(field, ".name"),
                     "is none of text_input, stream, sampling_parameters");
    }
  }
  if (!text && violations.empty()) violations.Add("inputs", "has no text_input");
  for (const auto& output : request.outputs()) {
    if (output.name() != "text_output") violations.Add("outputs", "has others than text_output");
  }
  if (!violations.empty()) return BadFields(violations);
  call->request.set_model(request.model_name());
  call->request.set_request_id(request.id());
  call->empty_final = BoolParameter(request, "triton_enable_empty_final_response");
  if (chat) {
    v1::ChatMessage* turn = call->request.mutable_chat()->add_messages();
    turn->set_role("user");
    turn->set_content(*text);
  } else {
    call->request.set_prompt(*text);
  }
  return std::nullopt;
}

std::optional<std::vector<std::string>> SplitRawBytes(const std::string& raw) {
  std::vector<std::string> elements;
  for (size_t at = 0; at < raw.size();) {
    if (raw.size() - at < kLengthBytes) return std::nullopt;
    size_t length = 0;
    for (size_t i = kLengthBytes; i-- > 0;) {
      length = length << 8 | static_cast<unsigned char>(raw[at + i]);
    }
    at += kLengthBytes;
    if (raw.size() - at < length) return std::nullopt;
    elements.push_back(raw.substr(at, length));
    at += length;
  }
  return elements;
}

std::string JoinRawBytes(const std::vector<std::string>& elements) {
  std::string raw;
  for (const std::string& element : elements) {
    for (size_t i = 0; i < kLengthBytes; ++i) {
      raw += static_cast<char>(element.size() >> (8 * i) & 0xFF);
    }
    raw += element;
  }
  return raw;
}

inference::ModelInferResponse InferResponse(const std::string& model, const std::string& id,
                                            const std::optional<std::string>& text, bool final) {
  inference::ModelInferResponse response;
  response.set_model_name(model);
  response.set_model_version(std::string(1, kModelVersion));
  response.set_id(id);
  (*response.mutable_parameters())["triton_final_response"].set_bool_param(final);
  if (text) {
    auto* output = response.add_outputs();
    output->set_name("text_output");
    output->set_datatype("BYTES");
    output->add_shape(1);
    response.add_raw_output_contents(JoinRawBytes({*text}));
  }
  return response;
}

}  // namespace sparsed::server
