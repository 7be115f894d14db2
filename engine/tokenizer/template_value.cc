#include "engine/tokenizer/template_value.h"

#include <algorithm>

#include "engine/tokenizer/utf8.h"

namespace sparsed::engine {

TrackedText FromMessage(const std::string& text) {
  TrackedText tracked{text, {}};
  if (!text.empty()) tracked.from_message.push_back({0, text.size()});
  return tracked;
}

void Append(const TrackedText& tail, TrackedText* text) {
  const size_t shift = text->text.size();
  std::vector<PlainRange>& ranges = text->from_message;
  for (const PlainRange& range : tail.from_message) {
    const PlainRange moved{range.begin + shift, range.end + shift};
    if (!ranges.empty() && ranges.back().end == moved.begin) {
      ranges.back().end = moved.end;
    } else {
      ranges.push_back(moved);
    }
  }
  text->text += tail.text;
}

TrackedText Slice(const TrackedText& text, size_t begin, size_t end) {
  TrackedText slice{text.text.substr(begin, end - begin), {}};
  for (const PlainRange& range : text.from_message) {
    const size_t from = std::max(range.begin, begin);
    const size_t to = std::min(range.end, end);
    if (from < to) slice.from_message.push_back({from - begin, to - begin});
  }
  return slice;
}

TrackedText Strip(const TrackedText& text, bool left, bool right) {
  const std::string_view view = text.text;
  size_t begin = 0;
  size_t end = view.size();
  while (left && begin < end) {
    const Utf8Char c = DecodeUtf8(view, begin);
    if (!IsPythonSpace(c.code)) break;
    begin += c.length;
  }
  while (right && end > begin) {
    const Utf8Char c = LastUtf8Char(view.substr(0, end));
    if (!IsPythonSpace(c.code)) break;
    end -= c.length;
  }
  return Slice(text, begin, end);
}

const ValueList* Value::AsList() const {
  const auto* list = As<std::shared_ptr<const ValueList>>();
  return list == nullptr ? nullptr : list->get();
}

const ValueMap* Value::AsMap() const {
  const auto* map = As<std::shared_ptr<ValueMap>>();
  return map == nullptr ? nullptr : map->get();
}

bool IsTrue(const Value& value) {
  if (const auto* flag = value.As<bool>()) return *flag;
  if (const auto* number = value.As<int64_t>()) return *number != 0;
  if (const auto* text = value.As<TrackedText>()) return !text->text.empty();
  if (const ValueList* list = value.AsList()) return !list->empty();
  if (const ValueMap* map = value.AsMap()) return !map->empty();
  return false;
}

bool AreEqual(const Value& a, const Value& b) {
  const auto number = [](const Value& value, int64_t* result) {
    if (const auto* flag = value.As<bool>()) {
      *result = *flag ? 1 : 0;
      return true;
    }
    const auto* integer = value.As<int64_t>();
    if (integer != nullptr) *result = *integer;
    return integer != nullptr;
  };
  int64_t left = 0;
  int64_t right = 0;
  if (number(a, &left) && number(b, &right)) return left == right;
  if (a.data.index() != b.data.index()) return false;
  if (const auto* text = a.As<TrackedText>()) return text->text == b.As<TrackedText>()->text;
  if (const ValueList* list = a.AsList()) return list == b.AsList();
  if (const ValueMap* map = a.AsMap()) return map == b.AsMap();
  return true;
}

std::string TypeName(const Value& value) {
  if (const auto* undefined = value.As<Undefined>()) return "undefined '" + undefined->name + "'";
  if (value.As<None>() != nullptr) return "none";
  if (value.As<bool>() != nullptr) return "boolean";
  if (value.As<int64_t>() != nullptr) return "integer";
  if (value.As<TrackedText>() != nullptr) return "string";
  return value.AsList() != nullptr ? "list" : "mapping";
}

bool ToText(const Value& value, TrackedText* text) {
  *text = TrackedText();
  if (const auto* tracked = value.As<TrackedText>()) {
    *text = *tracked;
  } else if (const auto* flag = value.As<bool>()) {
    text->text = *flag ? "True" : "False";
  } else if (const auto* number = value.As<int64_t>()) {
    text->text = std::to_string(*number);
  } else if (value.As<None>() != nullptr) {
    text->text = "None";
  } else if (!value.IsUndefined()) {
    return false;
  }
  return true;
}

}  // namespace sparsed::engine
