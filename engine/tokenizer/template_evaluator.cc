#include "engine/tokenizer/template_evaluator.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/status_macros.h"
#include "engine/tokenizer/template_functions.h"
#include "engine/tokenizer/utf8.h"

namespace sparsed::engine {
namespace {

using ValueOr = absl::StatusOr<Value>;

// The byte offset of character `index`, at most the text's size.
size_t OffsetOf(std::string_view text, int64_t index) {
  size_t offset = 0;
  for (; index > 0 && offset < text.size(); --index) offset += DecodeUtf8(text, offset).length;
  return offset;
}

class Evaluator {
 public:
  Evaluator(const Expression& expression, const TemplateScopes& scopes)
      : node_(expression), scopes_(scopes) {}

  ValueOr Run() const {
    switch (node_.kind) {
      case ExpressionKind::kLiteral:
        return node_.literal;
      case ExpressionKind::kList:
        return List();
      case ExpressionKind::kName:
        return scopes_.Get(node_.name);
      case ExpressionKind::kMember:
        return Member();
      case ExpressionKind::kIndex:
        return Index();
      case ExpressionKind::kSlice:
        return SliceOf();
      case ExpressionKind::kCall:
        return Call();
      case ExpressionKind::kMethod:
        return Apply(CallMethod);
      case ExpressionKind::kFilter:
        return Apply(ApplyFilter);
      case ExpressionKind::kTest:
        return Apply(ApplyTest);
      case ExpressionKind::kUnary:
        return Unary();
      case ExpressionKind::kBinary:
        return Binary();
      case ExpressionKind::kConditional:
        break;
    }
    return Conditional();
  }

 private:
  ValueOr Operand(size_t index) const { return Evaluate(*node_.operands[index], scopes_); }
  absl::Status Error(const std::string& problem) const {
    return TemplateError(node_.line, problem);
  }
  absl::Status Unfit(const std::string& what, const Value& value) const {
    return Error(absl::StrCat(what, " of ", TypeName(value)));
  }

  ValueOr List() const {
    ValueList items;
    for (size_t i = 0; i < node_.operands.size(); ++i) {
      SPARSED_ASSIGN_OR_RETURN(items.emplace_back(), Operand(i));
    }
    return Value(std::shared_ptr<const ValueList>(std::make_shared<ValueList>(std::move(items))));
  }

  ValueOr Field(const Value& object, const std::string& name) const {
    if (object.IsUndefined()) return Unfit(absl::StrCat("'", name, "'"), object);
    if (const ValueMap* map = object.AsMap()) {
      const auto found = map->find(name);
      if (found != map->end()) return found->second;
    }
    return Value(Undefined{name});
  }

  ValueOr Member() const {
    SPARSED_ASSIGN_OR_RETURN(const Value object, Operand(0));
    return Field(object, node_.name);
  }

  ValueOr Index() const {
    SPARSED_ASSIGN_OR_RETURN(const Value object, Operand(0));
    SPARSED_ASSIGN_OR_RETURN(const Value key, Operand(1));
    if (const auto* name = key.As<TrackedText>()) return Field(object, name->text);
    const auto* number = key.As<int64_t>();
    if (number == nullptr) return Unfit("a subscript", key);
    if (object.IsUndefined()) return Unfit("an item", object);
    const ValueList* list = object.AsList();
    const auto* text = object.As<TrackedText>();
    if (list == nullptr && text == nullptr) return Value(Undefined{std::to_string(*number)});
    const int64_t size =
        list != nullptr ? static_cast<int64_t>(list->size()) : CountCharacters(text->text);
    const int64_t at = *number < 0 ? *number + size : *number;
    if (at < 0 || at >= size) return Value(Undefined{std::to_string(*number)});
    if (list != nullptr) return (*list)[static_cast<size_t>(at)];
    return Value(Slice(*text, OffsetOf(text->text, at), OffsetOf(text->text, at + 1)));
  }

  // An index of a slice, or `otherwise` where it is left out or none.
  absl::StatusOr<int64_t> SliceIndex(size_t operand, int64_t otherwise) const {
    if (node_.operands[operand] == nullptr) return otherwise;
    SPARSED_ASSIGN_OR_RETURN(const Value value, Operand(operand));
    if (value.As<None>() != nullptr) return otherwise;
    if (const auto* number = value.As<int64_t>()) return *number;
    return Unfit("a slice index", value);
  }

  ValueOr SliceOf() const {
    SPARSED_ASSIGN_OR_RETURN(const Value object, Operand(0));
    const ValueList* list = object.AsList();
    const auto* text = object.As<TrackedText>();
    if (list == nullptr && text == nullptr) return Unfit("a slice", object);
    const int64_t size =
        list != nullptr ? static_cast<int64_t>(list->size()) : CountCharacters(text->text);
    SPARSED_ASSIGN_OR_RETURN(const int64_t step, SliceIndex(3, 1));
    if (step != 1 && (step != -1 || text != nullptr)) {
      return Error(absl::StrCat("a slice with step ", step, " is not implemented"));
    }
    const int64_t low = step > 0 ? 0 : -1;
    const int64_t high = step > 0 ? size : size - 1;
    const auto clamp = [&](int64_t index) {
      return std::clamp(index < 0 ? index + size : index, low, high);
    };
    // "Left out" is beyond what clamp would make of any number.
    constexpr int64_t kLeftOut = INT64_MAX;
    SPARSED_ASSIGN_OR_RETURN(int64_t begin, SliceIndex(1, kLeftOut));
    SPARSED_ASSIGN_OR_RETURN(int64_t end, SliceIndex(2, kLeftOut));
    begin = begin == kLeftOut ? (step > 0 ? low : high) : clamp(begin);
    end = end == kLeftOut ? (step > 0 ? high : low) : clamp(end);
    if (text != nullptr) {
      const size_t from = OffsetOf(text->text, begin);
      return Value(Slice(*text, from, std::max(from, OffsetOf(text->text, end))));
    }
    auto items = std::make_shared<ValueList>();
    for (int64_t i = begin; step > 0 ? i < end : i > end; i += step) {
      items->push_back((*list)[static_cast<size_t>(i)]);
    }
    return Value(std::shared_ptr<const ValueList>(std::move(items)));
  }

  ValueOr Call() const {
    if (node_.name == "raise_exception") {
      SPARSED_ASSIGN_OR_RETURN(const Value message, Operand(0));
      TrackedText text;
      ToText(message, &text);
      return Error(text.text);
    }
    auto fields = std::make_shared<ValueMap>();
    for (size_t i = 0; i < node_.operands.size(); ++i) {
      SPARSED_ASSIGN_OR_RETURN((*fields)[node_.keywords[i]], Operand(i));
    }
    return Value(std::move(fields));
  }

  ValueOr Apply(ValueOr (*function)(const FunctionCall& call)) const {
    FunctionCall call{node_.name, node_.line, Value(), {}};
    SPARSED_ASSIGN_OR_RETURN(call.value, Operand(0));
    for (size_t i = 1; i < node_.operands.size(); ++i) {
      SPARSED_ASSIGN_OR_RETURN(call.arguments.emplace_back(), Operand(i));
    }
    return function(call);
  }

  ValueOr Unary() const {
    SPARSED_ASSIGN_OR_RETURN(const Value value, Operand(0));
    if (node_.name == "not") return Value(!IsTrue(value));
    const auto* number = value.As<int64_t>();
    if (number == nullptr || *number == INT64_MIN) return Unfit("-", value);
    return Value(-*number);
  }

  ValueOr Binary() const {
    const std::string& op = node_.name;
    SPARSED_ASSIGN_OR_RETURN(Value left, Operand(0));
    if (op == "and") return IsTrue(left) ? Operand(1) : ValueOr(std::move(left));
    if (op == "or") return IsTrue(left) ? ValueOr(std::move(left)) : Operand(1);
    SPARSED_ASSIGN_OR_RETURN(const Value right, Operand(1));
    if (op == "==") return Value(AreEqual(left, right));
    if (op == "!=") return Value(!AreEqual(left, right));
    if (op == "in" || op == "not in") {
      SPARSED_ASSIGN_OR_RETURN(const bool contained, Contains(right, left));
      return Value(contained == (op == "in"));
    }
    if (op == "~") {
      TrackedText head;
      TrackedText tail;
      if (!ToText(left, &head) || !ToText(right, &tail)) return Error("~ of a list or mapping");
      return Join(std::move(head), tail);
    }
    const auto* left_text = left.As<TrackedText>();
    const auto* right_text = right.As<TrackedText>();
    if (left_text != nullptr && right_text != nullptr) {
      if (op == "+") return Join(*left_text, *right_text);
      if (op[0] == '<' || op[0] == '>') return Order(left_text->text.compare(right_text->text));
    }
    const auto* a = left.As<int64_t>();
    const auto* b = right.As<int64_t>();
    if (a == nullptr || b == nullptr) {
      return Error(absl::StrCat(op, " of ", TypeName(left), " and ", TypeName(right)));
    }
    if (op[0] == '<' || op[0] == '>') return Order(*a < *b ? -1 : *a > *b ? 1 : 0);
    return Arithmetic(*a, *b);
  }

  ValueOr Join(TrackedText head, const TrackedText& tail) const {
    if (head.text.size() + tail.text.size() > kMaxTemplateText) {
      return Error(absl::StrCat("a text of more than ", kMaxTemplateText, " bytes"));
    }
    Append(tail, &head);
    return Value(std::move(head));
  }

  ValueOr Order(int comparison) const {
    const std::string& op = node_.name;
    const bool strict = op.size() == 1;
    if (op[0] == '<') return Value(strict ? comparison < 0 : comparison <= 0);
    return Value(strict ? comparison > 0 : comparison >= 0);
  }

  absl::StatusOr<bool> Contains(const Value& container, const Value& item) const {
    if (const ValueList* list = container.AsList()) {
      return std::any_of(list->begin(), list->end(),
                         [&](const Value& member) { return AreEqual(member, item); });
    }
    const auto* needle = item.As<TrackedText>();
    if (const ValueMap* map = container.AsMap()) {
      return needle != nullptr && map->count(needle->text) > 0;
    }
    if (const auto* text = container.As<TrackedText>(); text != nullptr && needle != nullptr) {
      return text->text.find(needle->text) != std::string::npos;
    }
    if (container.IsUndefined()) return false;
    return Error(absl::StrCat("in of ", TypeName(item), " and ", TypeName(container)));
  }

  ValueOr Arithmetic(int64_t a, int64_t b) const {
    int64_t result = 0;
    bool overflow = false;
    switch (node_.name[0]) {
      case '+':
        overflow = __builtin_add_overflow(a, b, &result);
        break;
      case '-':
        overflow = __builtin_sub_overflow(a, b, &result);
        break;
      case '*':
        overflow = __builtin_mul_overflow(a, b, &result);
        break;
      default:
        overflow = b == 0 || (a == INT64_MIN && b == -1);
        if (overflow) break;
        const int64_t remainder = a % b;
        const bool floor = remainder != 0 && (remainder < 0) != (b < 0);
        result = node_.name == "%" ? remainder + (floor ? b : 0) : a / b - (floor ? 1 : 0);
    }
    if (overflow) return Error(absl::StrCat(a, " ", node_.name, " ", b, " is out of range"));
    return Value(result);
  }

  ValueOr Conditional() const {
    SPARSED_ASSIGN_OR_RETURN(const Value condition, Operand(0));
    if (IsTrue(condition)) return Operand(1);
    if (node_.operands[2] == nullptr) return Value(Undefined{"else"});
    return Operand(2);
  }

  const Expression& node_;
  const TemplateScopes& scopes_;
};

}  // namespace

Value TemplateScopes::Get(const std::string& name) const {
  for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
    if (const auto found = scope->find(name); found != scope->end()) return found->second;
  }
  return Value(Undefined{name});
}

absl::StatusOr<Value> Evaluate(const Expression& expression, const TemplateScopes& scopes) {
  return Evaluator(expression, scopes).Run();
}

}  // namespace sparsed::engine
