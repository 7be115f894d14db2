#include "server/http_openai_response.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "google/rpc/error_details.pb.h"
#include "server/build_info.h"

namespace sparsed::server {
namespace {

using Json = nlohmann::ordered_json;

std::string Print(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string Data(const Json& value) { return absl::StrCat("data: ", Print(value), "\n\n"); }

const char* FinishReason(const v1::GenerateResponse& result) {
  return result.finish_reason() == v1::FINISH_REASON_LENGTH ? "length" : "stop";
}

Json Usage(const v1::Usage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens()},
          {"completion_tokens", usage.generated_tokens()},
          {"total_tokens", usage.prompt_tokens() + usage.generated_tokens()}};
}

// What an answer or a chunk of one begins with.
Json Begin(const OpenAiAnswer::Head& head, bool chat, bool chunk) {
  const char* object = !chat   ? "text_completion"
                       : chunk ? "chat.completion.chunk"
                               : "chat.completion";
  return {{"id", absl::StrCat(chat ? "chatcmpl-" : "cmpl-", head.request_id)},
          {"object", object},
          {"created", head.created},
          {"model", head.model->name},
          {"system_fingerprint", Commit()}};
}

// The only choice of a chunk; the key and what it says.
Json Choice(const char* key, const Json& value, const Json& finish_reason) {
  Json choice = {{"index", 0}};
  choice[key] = value;
  choice["logprobs"] = nullptr;
  choice["finish_reason"] = finish_reason;
  return Json::array({choice});
}

// The text before the hole, and the one behind it.
std::pair<size_t, std::string> AroundHole(const v1::Infill& infill) {
  std::pair<size_t, std::string> around = {0, ""};
  bool behind = false;
  for (const v1::InfillPart& part : infill.parts()) {
    if (part.hole_tokens() > 0) {
      behind = true;
    } else if (behind) {
      around.second += part.text();
    } else {
      around.first += part.text().size();
    }
  }
  return around;
}

const char* ErrorType(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 429:
      return "rate_limit_error";
    default:
      return status < 500 ? "invalid_request_error" : "server_error";
  }
}

// The words that OpenAI has for some of ours.
std::string ErrorCode(const std::string& reason) {
  if (reason == "context_length") return "context_length_exceeded";
  if (reason == "unknown_model") return "model_not_found";
  if (reason == "unauthenticated") return "invalid_api_key";
  return reason;
}

}  // namespace

std::string OpenAiError(const std::string& message, const std::string& type,
                        const std::string& param, const std::string& code) {
  const auto or_null = [](const std::string& text) { return text.empty() ? Json() : Json(text); };
  return Print({{"error",
                 {{"message", message},
                  {"type", type},
                  {"param", or_null(param)},
                  {"code", or_null(code)}}}});
}

std::string OpenAiError(const Failure& failure, const FieldNames& names) {
  std::string message = failure.status.message();
  std::string param;
  if (failure.reason == "unknown_model" || failure.reason == "permission_denied") param = "model";
  if (failure.reason == "no_chat_template") param = "messages";
  google::rpc::BadRequest bad;
  for (const auto& detail : failure.status.details()) {
    if (detail.Is<google::rpc::BadRequest>()) detail.UnpackTo(&bad);
  }
  for (const auto& violation : bad.field_violations()) {
    const std::string field = JsonField(names, violation.field());
    if (param.empty()) {
      param = field;
      message.clear();
    }
    absl::StrAppend(&message, message.empty() ? "" : "; ", field, ": ", violation.description());
  }
  return OpenAiError(message, ErrorType(HttpStatus(&failure)), param, ErrorCode(failure.reason));
}

EndingHold::EndingHold(std::string ending)
    : ending_(std::move(ending)), borders_(ending_.size() + 1) {
  for (size_t i = 1, border = 0; i < ending_.size(); ++i) {
    while (border > 0 && ending_[i] != ending_[border]) border = borders_[border];
    if (ending_[i] == ending_[border]) ++border;
    borders_[i + 1] = border;
  }
}

std::string EndingHold::Add(const std::string& text) {
  std::string seen = ending_.substr(0, held_);
  seen += text;
  for (const char c : text) {
    if (held_ == ending_.size()) held_ = borders_[held_];
    while (held_ > 0 && c != ending_[held_]) held_ = borders_[held_];
    if (held_ < ending_.size() && c == ending_[held_]) ++held_;
  }
  seen.resize(seen.size() - held_);
  return seen;
}

OpenAiAnswer::OpenAiAnswer(const OpenAiCall& call, Head head)
    : chat_(call.chat),
      include_usage_(call.include_usage),
      names_(call.names),
      head_(std::move(head)),
      infill_(call.request.has_infill()),
      skip_bytes_(AroundHole(call.request.infill()).first),
      hold_(AroundHole(call.request.infill()).second) {}

std::string OpenAiAnswer::Text(const v1::GenerateResponse& result) const {
  return infill_ ? result.hole_texts(0) : result.text();
}

// The token alone: bytes that are no UTF-8 by themselves become U+FFFD.
std::string OpenAiAnswer::PieceOf(uint32_t id) const {
  return engine::ToValidUtf8(head_.model->tokenizer->Bytes(static_cast<int32_t>(id), true));
}

// How the text came about: what a diffusion model has to say beyond OpenAI's fields.
Json OpenAiAnswer::Report(const v1::GenerateResponse& result) const {
  Json report = {{"seed", result.seed()},
                 {"full_steps", result.usage().full_steps()},
                 {"select_steps", result.usage().select_steps()},
                 {"sparse_steps", result.usage().sparse_steps()}};
  if (result.sparse().used()) report["density"] = result.sparse().density();
  if (result.sparse().has_recall()) report["recall"] = result.sparse().recall();
  for (const v1::TokenDetail& token : result.tokens()) {
    report["tokens"].push_back({{"id", token.id()},
                                {"text", PieceOf(token.id())},
                                {"confidence", token.confidence()},
                                {"commit_step", token.commit_step()}});
  }
  return report;
}

std::string OpenAiAnswer::Body(const v1::GenerateResponse& result) const {
  Json body = Begin(head_, chat_, /*chunk=*/false);
  const Json said = {{"role", "assistant"}, {"content", Text(result)}};
  body["choices"] = chat_ ? Choice("message", said, FinishReason(result))
                          : Choice("text", said["content"], FinishReason(result));
  body["usage"] = Usage(result.usage());
  body["diffusion"] = Report(result);
  return Print(body);
}

std::string OpenAiAnswer::Event(const v1::StreamGenerateResponse& event) {
  if (event.has_accepted() && chat_) {
    Json chunk = Begin(head_, chat_, /*chunk=*/true);
    chunk["choices"] = Choice("delta", {{"role", "assistant"}, {"content", ""}}, nullptr);
    return Data(chunk);
  }
  if (event.has_block()) {
    const std::string& block = event.block().text();
    const size_t skipped = std::min(skip_bytes_, block.size());
    skip_bytes_ -= skipped;
    const std::string text = hold_.Add(block.substr(skipped));
    sent_bytes_ += text.size();
    return text.empty() ? "" : Delta(text);
  }
  if (event.has_frame()) return Frame(event.frame());
  if (event.has_final()) return End(event.final());
  return "";
}

std::string OpenAiAnswer::Delta(const std::string& text) const {
  Json chunk = Begin(head_, chat_, /*chunk=*/true);
  chunk["choices"] =
      chat_ ? Choice("delta", {{"content", text}}, nullptr) : Choice("text", text, nullptr);
  return Data(chunk);
}

// Clients that do not look at the event's name find a chunk without choices.
std::string OpenAiAnswer::Frame(const v1::Frame& frame) const {
  Json chunk = Begin(head_, chat_, /*chunk=*/true);
  chunk["choices"] = Json::array();
  const auto mask = static_cast<uint32_t>(head_.model->info->mask_token_id);
  Json ids = Json::array();
  Json pieces = Json::array();
  for (const uint32_t id : frame.token_ids()) {
    ids.push_back(id);
    pieces.push_back(id == mask ? Json() : Json(PieceOf(id)));
  }
  chunk["frame"] = {
      {"step", frame.step()}, {"text", frame.text()}, {"token_ids", ids}, {"pieces", pieces}};
  return absl::StrCat("event: diffusion_frame\n", Data(chunk));
}

std::string OpenAiAnswer::End(const v1::GenerateResponse& result) const {
  const std::string text = Text(result);
  std::string out;
  // What was held back turned out not to be the ending.
  if (sent_bytes_ < text.size()) out = Delta(text.substr(sent_bytes_));
  Json chunk = Begin(head_, chat_, /*chunk=*/true);
  chunk["choices"] = chat_ ? Choice("delta", Json::object(), FinishReason(result))
                           : Choice("text", "", FinishReason(result));
  chunk["diffusion"] = Report(result);
  out += Data(chunk);
  if (include_usage_) {
    Json usage = Begin(head_, chat_, /*chunk=*/true);
    usage["choices"] = Json::array();
    usage["usage"] = Usage(result.usage());
    out += Data(usage);
  }
  return out + "data: [DONE]\n\n";
}

std::string OpenAiAnswer::ErrorEvent(const Failure& failure) const {
  return absl::StrCat("data: ", OpenAiError(failure, names_), "\n\n");
}

}  // namespace sparsed::server
