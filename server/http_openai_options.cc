#include "server/http_openai_options.h"

#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "server/client_json.h"

namespace sparsed::server {
namespace {

using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using nlohmann::json;

// Where the words of an enum begin: its first value is PREFIX_UNSPECIFIED.
size_t PrefixBytes(const EnumDescriptor& words) {
  static constexpr char kUnspecified[] = "UNSPECIFIED";
  return words.value(0)->name().size() - (sizeof(kUnspecified) - 1);
}

void ReadWord(const std::string& path, const json& value, const FieldDescriptor& field,
              Message* options, Violations& violations) {
  const EnumDescriptor& words = *field.enum_type();
  const size_t prefix = PrefixBytes(words);
  std::string known;
  for (int i = 1; i < words.value_count(); ++i) {
    const std::string word = absl::AsciiStrToLower(words.value(i)->name().substr(prefix));
    if (value == word) {
      options->GetReflection()->SetEnum(options, &field, words.value(i));
      return;
    }
    absl::StrAppend(&known, known.empty() ? "" : ", ", word);
  }
  violations.Add(path, "is none of ", known);
}

void ReadSparseObject(const json& value, v1::SparseOptions* sparse, Violations& violations) {
  if (!value.is_object()) violations.Add("diffusion.sparse", "is not an object");
  if (!value.is_object()) return;
  for (const auto& [name, field] : value.items()) {
    ReadOption(absl::StrCat("diffusion.sparse.", name), name, field, sparse, violations);
  }
}

}  // namespace

void ReadOption(const std::string& path, const std::string& name, const json& value,
                Message* options, Violations& violations) {
  if (value.is_null()) return;
  const FieldDescriptor* field = options->GetDescriptor()->FindFieldByName(name);
  if (field == nullptr) {
    violations.Add(path, "is unknown");
    return;
  }
  if (field->enum_type() != nullptr) return ReadWord(path, value, *field, options, violations);
  json alone = json::object();
  alone[name] = value;
  const std::unique_ptr<Message> one(options->New());
  if (ReadJson(alone, one.get())) {
    options->MergeFrom(*one);
  } else {
    violations.Add(path, "is not of type ", field->type_name());
  }
}

void ReadInspect(const json& value, v1::InspectRequest* inspect, Violations& violations) {
  if (!value.is_object()) violations.Add("inspect", "is not an object");
  if (!value.is_object()) return;
  for (const auto& [name, field] : value.items()) {
    const std::string path = absl::StrCat("inspect.", name);
    if (name == "request") {
      violations.Add(path, "is what is beside inspect");
    } else {
      ReadOption(path, name, field, inspect, violations);
    }
  }
}

void ReadDiffusion(const json& value, OpenAiCall* call, Violations& violations) {
  if (!value.is_object()) violations.Add("diffusion", "is not an object");
  if (!value.is_object()) return;
  for (const auto& [name, field] : value.items()) {
    const std::string path = absl::StrCat("diffusion.", name);
    if (name == "sparse") {
      ReadSparseObject(field, call->request.mutable_sparse(), violations);
    } else if (name == "stream_frames") {
      if (!field.is_boolean()) violations.Add(path, "is not true or false");
      call->frames = field.is_boolean() && field.get<bool>();
    } else if (name == "token_confidences") {
      if (!field.is_boolean()) violations.Add(path, "is not true or false");
      call->request.set_token_confidences(field.is_boolean() && field.get<bool>());
    } else if (name == "gen_length" || name == "stop") {
      violations.Add(path, "is the request's own ", name == "stop" ? "stop" : "max_tokens");
    } else {
      if (name == "algorithm" && value.contains("remasking")) {
        violations.Add(path, "is remasking, which is given too");
      }
      const std::string option = name == "algorithm" ? "remasking" : name;
      ReadOption(path, option, field, call->request.mutable_sampling(), violations);
      if (option != name) call->names.emplace_back("sampling.remasking", path);
    }
  }
}

}  // namespace sparsed::server
