// Values of a chat template: Jinja's, with the origin of every byte of text.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "engine/tokenizer/added_tokens.h"

namespace sparsed::engine {

// Text that remembers which of its bytes come from a message, not from the template.
struct TrackedText {
  std::string text;
  std::vector<PlainRange> from_message;  // ascending, not touching one another
};
TrackedText FromMessage(const std::string& text);
void Append(const TrackedText& tail, TrackedText* text);
TrackedText Slice(const TrackedText& text, size_t begin, size_t end);  // byte offsets
// Python's str.strip(), lstrip() and rstrip().
TrackedText Strip(const TrackedText& text, bool left, bool right);

struct Value;
using ValueList = std::vector<Value>;
using ValueMap = std::map<std::string, Value>;

struct Undefined {
  std::string name;  // for messages
};
struct None {};

struct Value {
  // Lists and maps never change once made, except a namespace's map.
  std::variant<Undefined, None, bool, int64_t, TrackedText, std::shared_ptr<const ValueList>,
               std::shared_ptr<ValueMap>>
      data;

  Value() = default;
  template <typename T>
  explicit Value(T value) : data(std::move(value)) {}

  template <typename T>
  const T* As() const {
    return std::get_if<T>(&data);
  }
  const ValueList* AsList() const;
  const ValueMap* AsMap() const;
  bool IsUndefined() const { return As<Undefined>() != nullptr; }
};

// Python's truth value.
bool IsTrue(const Value& value);
// Python's ==; lists and maps equal only themselves.
bool AreEqual(const Value& a, const Value& b);
// "string", "integer", ...: for messages.
std::string TypeName(const Value& value);
// How the value prints; false for lists and maps.
bool ToText(const Value& value, TrackedText* text);

}  // namespace sparsed::engine
