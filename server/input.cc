#include "server/input.h"

#include <algorithm>

namespace sparsed::server {
namespace {

using engine::Tokenizer;

std::string Text(const absl::Status& status) { return std::string(status.message()); }

// Text as ids, its special tokens parsed.
std::vector<int32_t> EncodeText(const std::string& text, const std::string& field,
                                const ServedModel& model, Violations& violations) {
  absl::StatusOr<std::vector<int32_t>> ids =
      model.tokenizer->Encode(text, Tokenizer::Special::kParse);
  if (!ids.ok()) {
    violations.Add(field, Text(ids.status()));
    return {};
  }
  const auto mask = std::find(ids->begin(), ids->end(), model.info->mask_token_id);
  if (mask != ids->end()) {
    violations.Add(field, "holds the mask token (id ", *mask, ") as token ", mask - ids->begin(),
                   "; masks are for the holes of `infill`");
  }
  return *std::move(ids);
}

std::vector<int32_t> ReadPrompt(const std::string& prompt, const ServedModel& model,
                                Violations& violations) {
  if (prompt.empty()) {
    violations.Add("prompt", "is empty; at least 1 token is needed");
    return {};
  }
  std::vector<int32_t> ids = EncodeText(prompt, "prompt", model, violations);
  if (ids.empty() && violations.empty()) {
    violations.Add("prompt", "has no tokens; at least 1 is needed");
  }
  return ids;
}

using Ids = google::protobuf::RepeatedField<uint32_t>;

std::vector<int32_t> ReadIds(const Ids& given, const std::string& field, const ServedModel& model,
                             Violations& violations) {
  std::vector<int32_t> ids;
  ids.reserve(given.size());
  for (const uint32_t id : given) {
    const std::string place = absl::StrCat(field, "[", ids.size(), "]");
    if (id >= static_cast<uint32_t>(model.info->vocab_size)) {
      violations.Add(place, id, " is not below the vocabulary size ", model.info->vocab_size);
    } else if (static_cast<int32_t>(id) == model.info->mask_token_id) {
      violations.Add(place, id, " is the mask token; only the holes of `infill` are masked");
    }
    ids.push_back(static_cast<int32_t>(id));
  }
  return ids;
}

std::vector<int32_t> ReadTokenIds(const v1::TokenIds& tokens, const ServedModel& model,
                                  Violations& violations) {
  if (tokens.ids().empty()) violations.Add("token_ids.ids", "is empty; at least 1 id is needed");
  return ReadIds(tokens.ids(), "token_ids.ids", model, violations);
}

void ReadInfill(const v1::Infill& infill, const ServedModel& model, Input& input,
                Violations& violations) {
  for (int i = 0; i < infill.parts().size(); ++i) {
    const v1::InfillPart& part = infill.parts(i);
    const std::string field = absl::StrCat("infill.parts[", i, "]");
    Piece piece;
    switch (part.part_case()) {
      case v1::InfillPart::kText:
        piece.text = part.text();
        piece.ids = EncodeText(part.text(), field + ".text", model, violations);
        break;
      case v1::InfillPart::kHoleTokens:
        if (part.hole_tokens() == 0) {
          violations.Add(field + ".hole_tokens", "is 0; at least 1 is needed");
        }
        piece.hole_tokens = part.hole_tokens();
        break;
      case v1::InfillPart::PART_NOT_SET:
        violations.Add(field, "is neither text nor hole_tokens");
        break;
    }
    input.pieces.push_back(std::move(piece));
  }
  if (!violations.empty()) return;
  if (input.hole_tokens() == 0) {
    violations.Add("infill.parts", "no hole; at least 1 is needed");
  } else if (input.prompt_tokens() == 0) {
    violations.Add("infill.parts", "no fixed text; at least 1 token of it is needed");
  }
}

}  // namespace

int64_t Input::prompt_tokens() const {
  int64_t sum = 0;
  for (const Piece& piece : pieces) sum += static_cast<int64_t>(piece.ids.size());
  return sum;
}

int64_t Input::hole_tokens() const {
  int64_t sum = 0;
  for (const Piece& piece : pieces) sum += piece.hole_tokens;
  return sum;
}

std::vector<int32_t> ReadTargets(const v1::GenerateRequest& request, const ServedModel& model,
                                 Violations& violations) {
  return ReadIds(request.target_ids(), "target_ids", model, violations);
}

std::vector<int32_t> EncodeChat(const v1::Chat& chat, const std::string& field,
                                const ServedModel& model, Violations& violations) {
  if (chat.messages().empty()) {
    violations.Add(field + ".messages", "is empty; at least 1 message is needed");
    return {};
  }
  std::vector<engine::ChatMessage> messages;
  bool roles_known = true;
  for (const v1::ChatMessage& message : chat.messages()) {
    if (message.role() != "system" && message.role() != "user" && message.role() != "assistant") {
      violations.Add(absl::StrCat(field, ".messages[", messages.size(), "].role"), "'",
                     message.role(), "' is not system, user or assistant");
      roles_known = false;
    }
    messages.push_back({message.role(), message.content()});
  }
  if (!roles_known) return {};
  absl::StatusOr<std::vector<int32_t>> ids =
      model.chat_template->Encode(messages, *model.tokenizer);
  if (!ids.ok()) {
    violations.Add(field, Text(ids.status()));
    return {};
  }
  return *std::move(ids);
}

Input ReadInput(const v1::GenerateRequest& request, const ServedModel& model,
                Violations& violations) {
  Input input;
  switch (request.input_case()) {
    case v1::GenerateRequest::kPrompt:
      input.field = "prompt";
      input.pieces.push_back({"", ReadPrompt(request.prompt(), model, violations), 0});
      break;
    case v1::GenerateRequest::kChat:
      input.field = "chat";
      input.no_chat_template = model.chat_template == nullptr;
      if (input.no_chat_template) break;
      input.pieces.push_back({"", EncodeChat(request.chat(), "chat", model, violations), 0});
      break;
    case v1::GenerateRequest::kTokenIds:
      input.field = "token_ids";
      input.pieces.push_back({"", ReadTokenIds(request.token_ids(), model, violations), 0});
      break;
    case v1::GenerateRequest::kInfill:
      input.field = "infill";
      input.infill = true;
      ReadInfill(request.infill(), model, input, violations);
      break;
    case v1::GenerateRequest::INPUT_NOT_SET:
      input.field = "input";
      violations.Add("input", "is missing; one of prompt, chat, token_ids, infill is needed");
      break;
  }
  return input;
}

}  // namespace sparsed::server
