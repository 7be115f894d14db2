#include "server/http_openai_request.h"

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/client_json.h"
#include "server/http_openai_options.h"
#include "server/options_check.h"
#include "server/violations.h"

namespace sparsed::server {
namespace {

using nlohmann::json;

constexpr int kMaxBodyDepth = 32;  // tools and schemas, which are refused by their names, are deep

// Fields that mean nothing here, with the values that say no more than their absence.
struct Meaningless {
  const char* name;
  const char* values;  // a JSON array
};
constexpr Meaningless kMeaningless[] = {
    {"audio", "[]"},
    {"best_of", "[1]"},
    {"echo", "[false]"},
    {"frequency_penalty", "[0]"},
    {"function_call", R"(["none","auto"])"},
    {"functions", "[[]]"},
    {"logit_bias", "[{}]"},
    {"logprobs", "[false]"},
    {"modalities", R"([["text"]])"},
    {"n", "[1]"},
    {"parallel_tool_calls", "[true,false]"},
    {"prediction", "[]"},
    {"presence_penalty", "[0]"},
    {"response_format", R"([{"type":"text"}])"},
    {"service_tier", R"(["auto","default"])"},
    {"tool_choice", R"(["none","auto"])"},
    {"tools", "[[]]"},
    {"top_logprobs", "[0]"},
};

class Reader {
 public:
  explicit Reader(OpenAiCall* call) : call_(call) {}

  void Read(const json& root);
  Violations violations;

 private:
  void ReadField(const std::string& name, const json& value);
  void ReadMessages(const json& value);
  std::string ReadContent(const std::string& field, const json& value);
  void ReadPrompt(const json& value);
  void ReadMaxTokens(const std::string& name, const json& value);
  void ReadStop(const json& value);
  void ReadStreamOptions(const json& value);
  void ReadNumber(const std::string& name, const json& value);
  void CheckMeaningless(const Meaningless& row, const json& value);
  bool Bool(const std::string& field, const json& value);
  std::string Text(const std::string& field, const json& value);
  // The canvas and what is around it.
  void Assemble();
  v1::SamplingOptions& sampling() { return *call_->request.mutable_sampling(); }
  void Name(const std::string& from, const std::string& to) { call_->names.emplace_back(from, to); }

  OpenAiCall* call_;
  std::optional<std::string> prompt_;
  std::string suffix_;
  std::optional<uint32_t> max_tokens_;
  std::string max_tokens_name_ = "max_tokens";
};

bool Reader::Bool(const std::string& field, const json& value) {
  if (!value.is_boolean()) violations.Add(field, "is not true or false");
  return value.is_boolean() && value.get<bool>();
}

std::string Reader::Text(const std::string& field, const json& value) {
  if (value.is_string()) return value.get<std::string>();
  violations.Add(field, "is not a string");
  return "";
}

std::string Reader::ReadContent(const std::string& field, const json& value) {
  if (!value.is_array()) return Text(field, value);
  std::string text;
  for (size_t i = 0; i < value.size(); ++i) {
    const std::string at = absl::StrCat(field, "[", i, "]");
    const json& part = value[i];
    if (!part.is_object() || part.value("type", json()) != "text") {
      violations.Add(absl::StrCat(at, ".type"), "is not 'text'; there is nothing else to read");
    } else {
      text += Text(absl::StrCat(at, ".text"), part.value("text", json()));
    }
  }
  return text;
}

void Reader::ReadMessages(const json& value) {
  if (!value.is_array()) violations.Add("messages", "is not an array");
  if (!value.is_array()) return;
  for (size_t i = 0; i < value.size(); ++i) {
    const std::string at = absl::StrCat("messages[", i, "]");
    if (!value[i].is_object()) {
      violations.Add(at, "is not an object");
      continue;
    }
    v1::ChatMessage* turn = call_->request.mutable_chat()->add_messages();
    bool has_content = false;
    for (const auto& [name, field] : value[i].items()) {
      const std::string path = absl::StrCat(at, ".", name);
      if (field.is_null()) continue;
      if (name == "role") {
        const std::string role = Text(path, field);
        turn->set_role(role == "developer" ? "system" : role);
      } else if (name == "content") {
        has_content = true;
        turn->set_content(ReadContent(path, field));
      } else {
        violations.Add(path, "means nothing here; a message has a role and a content");
      }
    }
    if (!has_content) violations.Add(absl::StrCat(at, ".content"), "is missing");
  }
}

void Reader::ReadPrompt(const json& value) {
  const bool list = value.is_array();
  if (list && value.size() > 1 && !value[0].is_number()) {
    violations.Add("prompt", "has ", value.size(), " prompts; one is answered at a time");
    return;
  }
  const json& one = list && value.size() == 1 && !value[0].is_number() ? value[0] : value;
  if (one.is_string()) {
    prompt_ = one.get<std::string>();
    return;
  }
  if (!one.is_array()) {
    violations.Add("prompt", "is not a string, nor an array of token ids");
    return;
  }
  v1::TokenIds* ids = call_->request.mutable_token_ids();
  for (size_t i = 0; i < one.size(); ++i) {
    const bool good = one[i].is_number_unsigned() &&
                      one[i].get<uint64_t>() <= std::numeric_limits<uint32_t>::max();
    if (!good) violations.Add(absl::StrCat("prompt[", i, "]"), "is no token id");
    ids->add_ids(good ? one[i].get<uint32_t>() : 0);
  }
}

void Reader::ReadMaxTokens(const std::string& name, const json& value) {
  if (!value.is_number_unsigned() || value.get<uint64_t>() > std::numeric_limits<uint32_t>::max()) {
    violations.Add(name, "is not an integer from 1 to the model's limit");
    return;
  }
  const auto tokens = value.get<uint32_t>();
  if (max_tokens_ && *max_tokens_ != tokens) {
    violations.Add(name, tokens, " is not ", *max_tokens_, " as ", max_tokens_name_);
  }
  max_tokens_ = tokens;
  max_tokens_name_ = name;
}

void Reader::ReadStop(const json& value) {
  if (!value.is_array()) {
    sampling().add_stop(Text("stop", value));
    Name("sampling.stop[0]", "stop");
    return;
  }
  for (size_t i = 0; i < value.size(); ++i) {
    sampling().add_stop(Text(absl::StrCat("stop[", i, "]"), value[i]));
  }
}

void Reader::ReadStreamOptions(const json& value) {
  if (!value.is_object()) violations.Add("stream_options", "is not an object");
  if (!value.is_object()) return;
  for (const auto& [name, field] : value.items()) {
    const std::string path = absl::StrCat("stream_options.", name);
    if (name == "include_usage") {
      call_->include_usage = Bool(path, field);
    } else if (name != "include_obfuscation") {
      violations.Add(path, "is unknown");
    }
  }
}

// Options that OpenAI has at the top, and `diffusion` knows too.
void Reader::ReadNumber(const std::string& name, const json& value) {
  // Says nothing, and is refused by the rules that do not know it.
  if (name == "top_p" && value == 1) return;
  const auto* field = v1::SamplingOptions::descriptor()->FindFieldByName(name);
  if (sampling().GetReflection()->HasField(sampling(), field)) {
    violations.Add(name, "is given in diffusion too");
    return;
  }
  ReadOption(name, name, value, &sampling(), violations);
  Name(absl::StrCat("sampling.", name), name);
}

void Reader::CheckMeaningless(const Meaningless& row, const json& value) {
  const json allowed = json::parse(row.values, nullptr, false);
  std::string list;
  for (const json& one : allowed) {
    if (one == value) return;
    absl::StrAppend(&list, list.empty() ? "" : " or ", one.dump());
  }
  violations.Add(row.name, "means nothing here; leave it out",
                 list.empty() ? "" : absl::StrCat(", or make it ", list));
}

void Reader::ReadField(const std::string& name, const json& value) {
  const bool chat = call_->chat;
  if (name == "model") {
    call_->request.set_model(Text(name, value));
  } else if (chat && name == "messages") {
    ReadMessages(value);
  } else if (!chat && name == "prompt") {
    ReadPrompt(value);
  } else if (!chat && name == "suffix") {
    suffix_ = Text(name, value);
  } else if (name == "max_tokens" || (chat && name == "max_completion_tokens")) {
    ReadMaxTokens(name, value);
  } else if (name == "stop") {
    ReadStop(value);
  } else if (name == "stream") {
    call_->stream = Bool(name, value);
  } else if (name == "stream_options") {
    ReadStreamOptions(value);
  } else if (name == "temperature" || name == "top_p" || name == "seed") {
    ReadNumber(name, value);
  } else if (name == "diffusion") {
    ReadDiffusion(value, call_, violations);
  } else if (call_->inspect && name == "inspect") {
    ReadInspect(value, &*call_->inspect, violations);
  } else if (name != "user" && name != "metadata" && name != "store") {
    for (const Meaningless& row : kMeaningless) {
      if (name == row.name) return CheckMeaningless(row, value);
    }
    if (name.empty()) return violations.Add("body", "has a field without a name");
    violations.Add(name, "is unknown");
  }
}

void Reader::Assemble() {
  v1::GenerateRequest& request = call_->request;
  if (call_->chat) request.mutable_chat();
  if (suffix_.empty()) {
    if (prompt_) request.set_prompt(*prompt_);
    if (max_tokens_) sampling().set_gen_length(*max_tokens_);
    return;
  }
  if (request.has_token_ids()) {
    violations.Add("suffix", "needs a prompt of text");
    return;
  }
  const bool has_prompt = prompt_ && !prompt_->empty();
  v1::Infill* infill = request.mutable_infill();
  if (has_prompt) infill->add_parts()->set_text(*prompt_);
  infill->add_parts()->set_hole_tokens(max_tokens_.value_or(kDefaultGenLength));
  infill->add_parts()->set_text(suffix_);
  int part = 0;
  if (has_prompt) Name(absl::StrCat("infill.parts[", part++, "].text"), "prompt");
  Name(absl::StrCat("infill.parts[", part++, "].hole_tokens"), max_tokens_name_);
  Name(absl::StrCat("infill.parts[", part, "].text"), "suffix");
}

void Reader::Read(const json& root) {
  // In the order of their names: `diffusion` comes before what it may have too.
  for (const auto& [name, value] : root.items()) {
    if (!value.is_null()) ReadField(name, value);
  }
  if (call_->frames && !call_->stream) {
    violations.Add("diffusion.stream_frames", "needs stream");
  }
  Assemble();
  Name("sampling.gen_length", max_tokens_name_);
  Name("sampling.stop", "stop");
  Name("sampling", "diffusion");
  Name("sparse", "diffusion.sparse");
  Name("chat.messages", "messages");
  Name("chat", "messages");
  if (call_->inspect) {
    for (const char* list : {"layers", "heads", "steps"})
      Name(list, absl::StrCat("inspect.", list));
  }
  for (const char* input : {"token_ids.ids", "infill.parts", "infill", "input"}) {
    Name(input, "prompt");
  }
}

}  // namespace

std::optional<Failure> ParseOpenAi(const std::string& body, OpenAiCall* call) {
  json root;
  std::string wrong = ParseClientJson(body, kMaxBodyDepth, &root);
  if (wrong.empty() && !root.is_object()) wrong = "is not a JSON object";
  if (!wrong.empty()) return BadFields(OneViolation("body", wrong));
  Reader reader(call);
  reader.Read(root);
  if (!reader.violations.empty()) return BadFields(reader.violations);
  return std::nullopt;
}

std::string JsonField(const FieldNames& names, const std::string& field) {
  for (const auto& [from, to] : names) {
    if (!absl::StartsWith(field, from)) continue;
    const std::string rest = field.substr(from.size());
    if (rest.empty() || rest[0] == '.' || rest[0] == '[') return absl::StrCat(to, rest);
  }
  return field;
}

}  // namespace sparsed::server
