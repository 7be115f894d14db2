#include "engine/tokenizer/chat_template.h"

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/status_macros.h"
#include "engine/tokenizer/json_object.h"
#include "engine/tokenizer/template_ast.h"
#include "engine/tokenizer/template_renderer.h"

namespace sparsed::engine {
namespace {

using Json = nlohmann::json;

constexpr char kTemplateConfigFile[] = "tokenizer_config.json";

// "bos_token": a string, or an object with its content.
absl::StatusOr<std::string> ConfiguredToken(const JsonObject& config, const std::string& key) {
  const Json* token = config.Find(key);
  if (token == nullptr || token->is_string()) return config.String(key, "");
  SPARSED_ASSIGN_OR_RETURN(const JsonObject object, JsonObject::Of(*token, config.PathOf(key)));
  return object.String("content", "");
}

// Empty where there is none. A list holds objects with name and template.
absl::StatusOr<std::string> TemplateSource(const JsonObject& config) {
  const Json* value = config.Find("chat_template");
  if (value == nullptr || value->is_string()) return config.String("chat_template", "");
  if (!value->is_array()) return config.Error("chat_template", "neither a string nor a list");
  for (size_t i = 0; i < value->size(); ++i) {
    const std::string path = config.PathOf(absl::StrCat("chat_template[", i, "]"));
    SPARSED_ASSIGN_OR_RETURN(const JsonObject named, JsonObject::Of((*value)[i], path));
    SPARSED_ASSIGN_OR_RETURN(const std::string name, named.String("name", ""));
    if (name == "default") return named.String("template", "");
  }
  return config.Error("chat_template", "has no template named default");
}

}  // namespace

ChatTemplate::ChatTemplate(std::vector<std::unique_ptr<Statement>> statements,
                           const std::string& bos_token, const std::string& eos_token)
    : statements_(std::move(statements)), bos_token_(bos_token), eos_token_(eos_token) {}

ChatTemplate::~ChatTemplate() = default;

absl::StatusOr<std::unique_ptr<ChatTemplate>> ChatTemplate::Load(const std::string& dir) {
  const auto read = [&](const char* name) {
    std::ifstream file(absl::StrCat(dir, "/", name), std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  };
  const auto in_dir = [&](const absl::Status& status) {
    return absl::Status(status.code(), absl::StrCat(dir, "/", std::string(status.message())));
  };
  std::string source = read("chat_template.jinja");
  std::string bos_token;
  std::string eos_token;
  if (const std::string text = read(kTemplateConfigFile); !text.empty()) {
    const absl::StatusOr<Json> json = ParseJson(text, kTemplateConfigFile);
    if (!json.ok()) return in_dir(json.status());
    const absl::StatusOr<JsonObject> config = JsonObject::Of(*json, kTemplateConfigFile);
    if (!config.ok()) return in_dir(config.status());
    absl::StatusOr<std::string> bos = ConfiguredToken(*config, "bos_token");
    if (!bos.ok()) return in_dir(bos.status());
    absl::StatusOr<std::string> eos = ConfiguredToken(*config, "eos_token");
    if (!eos.ok()) return in_dir(eos.status());
    bos_token = *std::move(bos);
    eos_token = *std::move(eos);
    if (source.empty()) {
      absl::StatusOr<std::string> named = TemplateSource(*config);
      if (!named.ok()) return in_dir(named.status());
      source = *std::move(named);
    }
  }
  if (source.empty()) {
    return absl::NotFoundError(absl::StrCat(dir, ": no chat template in ", kTemplateConfigFile,
                                            " and no chat_template.jinja"));
  }
  auto parsed = Parse(source, bos_token, eos_token);
  if (!parsed.ok()) {
    return absl::Status(parsed.status().code(),
                        absl::StrCat(dir, ": ", std::string(parsed.status().message())));
  }
  return parsed;
}

absl::StatusOr<std::unique_ptr<ChatTemplate>> ChatTemplate::Parse(const std::string& source,
                                                                  const std::string& bos_token,
                                                                  const std::string& eos_token) {
  SPARSED_ASSIGN_OR_RETURN(Statements statements, ParseTemplate(source));
  return std::unique_ptr<ChatTemplate>(
      new ChatTemplate(std::move(statements), bos_token, eos_token));
}

absl::StatusOr<TrackedText> ChatTemplate::RenderTracked(
    const std::vector<ChatMessage>& messages) const {
  auto list = std::make_shared<ValueList>();
  for (size_t i = 0; i < messages.size(); ++i) {
    const ChatMessage& message = messages[i];
    if (!IsValidUtf8(message.role) || !IsValidUtf8(message.content)) {
      return absl::InvalidArgumentError(absl::StrCat("messages[", i, "] is not valid UTF-8"));
    }
    auto fields = std::make_shared<ValueMap>();
    (*fields)["role"] = Value(FromMessage(message.role));
    (*fields)["content"] = Value(FromMessage(message.content));
    list->push_back(Value(std::move(fields)));
  }
  TemplateScopes scopes;
  scopes.Set("messages", Value(std::shared_ptr<const ValueList>(std::move(list))));
  scopes.Set("add_generation_prompt", Value(true));
  scopes.Set("tools", Value(None()));
  scopes.Set("documents", Value(None()));
  if (!bos_token_.empty()) scopes.Set("bos_token", Value(TrackedText{bos_token_, {}}));
  if (!eos_token_.empty()) scopes.Set("eos_token", Value(TrackedText{eos_token_, {}}));
  TrackedText output;
  SPARSED_RETURN_IF_ERROR(RunStatements(statements_, &scopes, &output));
  return output;
}

absl::StatusOr<std::string> ChatTemplate::Render(const std::vector<ChatMessage>& messages) const {
  SPARSED_ASSIGN_OR_RETURN(TrackedText output, RenderTracked(messages));
  return std::move(output.text);
}

absl::StatusOr<std::vector<int32_t>> ChatTemplate::Encode(const std::vector<ChatMessage>& messages,
                                                          const Tokenizer& tokenizer) const {
  SPARSED_ASSIGN_OR_RETURN(const TrackedText output, RenderTracked(messages));
  return tokenizer.Encode(output.text, output.from_message);
}

}  // namespace sparsed::engine
