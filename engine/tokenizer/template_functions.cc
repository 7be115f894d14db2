#include "engine/tokenizer/template_functions.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/tokenizer/utf8.h"

namespace sparsed::engine {
namespace {

using ValueOr = absl::StatusOr<Value>;

absl::Status Unfit(const FunctionCall& call, const Value& value) {
  return TemplateError(call.line, absl::StrCat(call.name, " of ", TypeName(value)));
}

// Python's str.strip(set): the characters of `set` at the ends are taken away.
TrackedText StripSet(const TrackedText& text, std::string_view set, bool left, bool right) {
  const std::string_view view = text.text;
  size_t begin = 0;
  size_t end = view.size();
  const auto in_set = [&](size_t at, size_t length) {
    return set.find(view.substr(at, length)) != std::string_view::npos;
  };
  while (left && begin < end) {
    const uint32_t length = DecodeUtf8(view, begin).length;
    if (!in_set(begin, length)) break;
    begin += length;
  }
  while (right && end > begin) {
    const uint32_t length = LastUtf8Char(view.substr(0, end)).length;
    if (!in_set(end - length, length)) break;
    end -= length;
  }
  return Slice(text, begin, end);
}

// json.dumps(text, ensure_ascii=False).
TrackedText QuoteJson(const TrackedText& text) {
  static constexpr std::string_view kEscaped = "\"\\\n\r\t\b\f";
  static constexpr std::string_view kLetters = "\"\\nrtbf";
  TrackedText quoted{"\"", {}};
  for (size_t i = 0; i < text.text.size(); ++i) {
    TrackedText piece = Slice(text, i, i + 1);
    const char c = piece.text[0];
    if (const size_t index = kEscaped.find(c); index != std::string_view::npos) {
      piece.text = std::string("\\") + kLetters[index];
    } else if (static_cast<uint8_t>(c) < 0x20) {
      piece.text = absl::StrFormat("\\u%04x", static_cast<unsigned>(c));
    }
    if (!piece.from_message.empty()) piece.from_message = {{0, piece.text.size()}};
    Append(piece, &quoted);
  }
  Append({"\"", {}}, &quoted);
  return quoted;
}

ValueOr ToJson(const FunctionCall& call) {
  const Value& value = call.value;
  if (const auto* text = value.As<TrackedText>()) return Value(QuoteJson(*text));
  TrackedText text;
  if (value.IsUndefined() || !ToText(value, &text)) return Unfit(call, value);
  if (const auto* flag = value.As<bool>()) text.text = *flag ? "true" : "false";
  if (value.As<None>() != nullptr) text.text = "null";
  return Value(std::move(text));
}

ValueOr Length(const FunctionCall& call) {
  const Value& value = call.value;
  if (const ValueList* list = value.AsList()) return Value(static_cast<int64_t>(list->size()));
  if (const ValueMap* map = value.AsMap()) return Value(static_cast<int64_t>(map->size()));
  if (const auto* text = value.As<TrackedText>()) return Value(CountCharacters(text->text));
  if (value.IsUndefined()) return Value(int64_t{0});
  return Unfit(call, value);
}

ValueOr Split(const TrackedText& text, const std::string& separator, int32_t line) {
  if (separator.empty()) return TemplateError(line, "split with an empty separator");
  auto items = std::make_shared<ValueList>();
  size_t start = 0;
  while (true) {
    const size_t end = text.text.find(separator, start);
    items->push_back(Value(Slice(text, start, std::min(end, text.text.size()))));
    if (end == std::string::npos) break;
    start = end + separator.size();
  }
  return Value(std::shared_ptr<const ValueList>(std::move(items)));
}

}  // namespace

absl::StatusOr<Value> ApplyFilter(const FunctionCall& call) {
  const std::string& name = call.name;
  const Value& value = call.value;
  if (name == "default") {
    if (!value.IsUndefined()) return value;
    return call.arguments.empty() ? Value(TrackedText()) : call.arguments[0];
  }
  if (name == "trim" || name == "string") {
    TrackedText text;
    if (!ToText(value, &text)) return Unfit(call, value);
    return Value(name == "trim" ? Strip(text, true, true) : std::move(text));
  }
  if (name == "tojson") return ToJson(call);
  if (name == "length" || name == "count") return Length(call);
  const ValueList* list = value.AsList();
  if (list == nullptr) return Unfit(call, value);
  if (list->empty()) return Value(Undefined{name});
  return name == "first" ? list->front() : list->back();
}

absl::StatusOr<Value> ApplyTest(const FunctionCall& call) {
  const std::string& name = call.name;
  const Value& value = call.value;
  const bool is_text = value.As<TrackedText>() != nullptr;
  const bool is_list = value.AsList() != nullptr;
  const bool is_map = value.AsMap() != nullptr;
  const bool is_integer = value.As<int64_t>() != nullptr;
  const auto* flag = value.As<bool>();
  if (name == "defined") return Value(!value.IsUndefined());
  if (name == "undefined") return Value(value.IsUndefined());
  if (name == "none") return Value(value.As<None>() != nullptr);
  if (name == "string") return Value(is_text);
  if (name == "mapping") return Value(is_map);
  if (name == "boolean") return Value(flag != nullptr);
  if (name == "true") return Value(flag != nullptr && *flag);
  if (name == "false") return Value(flag != nullptr && !*flag);
  if (name == "integer") return Value(is_integer);
  if (name == "number") return Value(is_integer || flag != nullptr);
  return Value(is_text || is_list || is_map || value.IsUndefined());
}

absl::StatusOr<Value> CallMethod(const FunctionCall& call) {
  const std::string& name = call.name;
  const auto* text = call.value.As<TrackedText>();
  if (text == nullptr) return Unfit(call, call.value);
  const bool left = name != "rstrip";
  const bool right = name != "lstrip";
  if (call.arguments.empty()) return Value(Strip(*text, left, right));
  const auto* argument = call.arguments[0].As<TrackedText>();
  if (argument == nullptr) return Unfit(call, call.arguments[0]);
  if (name == "startswith") return Value(text->text.starts_with(argument->text));
  if (name == "endswith") return Value(text->text.ends_with(argument->text));
  if (name == "split") return Split(*text, argument->text, call.line);
  return Value(StripSet(*text, argument->text, left, right));
}

int64_t CountCharacters(std::string_view text) {
  return std::count_if(text.begin(), text.end(),
                       [](char c) { return (static_cast<uint8_t>(c) & 0xC0u) != 0x80u; });
}

absl::Status TemplateError(int32_t line, const std::string& problem) {
  return absl::InvalidArgumentError(absl::StrCat("chat template line ", line, ": ", problem));
}

}  // namespace sparsed::engine
