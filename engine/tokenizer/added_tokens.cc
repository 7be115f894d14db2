#include "engine/tokenizer/added_tokens.h"

#include <algorithm>

namespace sparsed::engine {
namespace {

enum class Overlap { kNone, kPartial, kWithin };

Overlap OverlapOf(size_t begin, size_t end, const std::vector<PlainRange>& plain) {
  auto range = std::lower_bound(plain.begin(), plain.end(), begin,
                                [](const PlainRange& r, size_t at) { return r.end <= at; });
  for (; range != plain.end() && range->begin < end; ++range) {
    if (range->begin == range->end) continue;
    return range->begin <= begin && end <= range->end ? Overlap::kWithin : Overlap::kPartial;
  }
  return Overlap::kNone;
}

bool IsSingleWord(std::string_view text, size_t begin, size_t end) {
  if (begin > 0 && IsWordChar(LastUtf8Char(text.substr(0, begin)).code)) return false;
  return end == text.size() || !IsWordChar(DecodeUtf8(text, end).code);
}

}  // namespace

int32_t AddedTokenMatcher::Child(int32_t node, char byte) const {
  for (const auto& [label, child] : nodes_[static_cast<size_t>(node)].children) {
    if (label == static_cast<uint8_t>(byte)) return child;
  }
  return -1;
}

bool AddedTokenMatcher::Add(std::string_view pattern, const AddedToken& token) {
  int32_t node = 0;
  for (const char byte : pattern) {
    int32_t child = Child(node, byte);
    if (child < 0) {
      child = static_cast<int32_t>(nodes_.size());
      nodes_[static_cast<size_t>(node)].children.emplace_back(static_cast<uint8_t>(byte), child);
      nodes_.emplace_back();
    }
    node = child;
  }
  int32_t& index = nodes_[static_cast<size_t>(node)].token;
  if (index >= 0) return false;
  index = static_cast<int32_t>(tokens_.size());
  tokens_.push_back(token);
  has_special_ = has_special_ || token.special;
  return true;
}

AddedTokenMatcher::Match AddedTokenMatcher::FindAt(std::string_view text, size_t begin,
                                                   const std::vector<PlainRange>& plain) const {
  Match longest;
  int32_t node = 0;
  for (size_t i = begin; i < text.size(); ++i) {
    node = Child(node, text[i]);
    if (node < 0) break;
    const int32_t index = nodes_[static_cast<size_t>(node)].token;
    if (index < 0) continue;
    const AddedToken& token = tokens_[static_cast<size_t>(index)];
    const Overlap overlap = token.special ? OverlapOf(begin, i + 1, plain) : Overlap::kNone;
    if (overlap == Overlap::kPartial) continue;
    longest = {i + 1, &token, overlap == Overlap::kWithin};
  }
  return longest;
}

size_t AddedTokenMatcher::SkipSpaceBackward(std::string_view text, size_t begin,
                                            size_t limit) const {
  while (begin > limit) {
    const Utf8Char c = LastUtf8Char(text.substr(0, begin));
    if (!is_space_(c.code)) break;
    begin -= c.length;
  }
  return std::max(begin, limit);
}

size_t AddedTokenMatcher::SkipSpaceForward(std::string_view text, size_t end) const {
  while (end < text.size()) {
    const Utf8Char c = DecodeUtf8(text, end);
    if (!is_space_(c.code)) break;
    end += c.length;
  }
  return end;
}

void AddedTokenMatcher::Split(std::string_view text, const std::vector<PlainRange>& plain,
                              std::vector<TextPiece>* pieces) const {
  size_t done = 0;  // end of the last piece
  const auto add = [&](size_t begin, size_t end, std::optional<int32_t> id) {
    if (end > begin) pieces->push_back({begin, end, id});
  };
  for (size_t i = 0; i < text.size();) {
    const Match match = FindAt(text, i, plain);
    if (match.token == nullptr) {
      ++i;
      continue;
    }
    size_t begin = i;
    size_t end = match.end;
    i = end;
    if (match.plain || (match.token->single_word && !IsSingleWord(text, begin, end))) continue;
    if (match.token->lstrip) begin = SkipSpaceBackward(text, begin, done);
    if (match.token->rstrip) end = SkipSpaceForward(text, end);
    add(done, begin, std::nullopt);
    add(begin, end, match.token->id);
    done = end;
  }
  add(done, text.size(), std::nullopt);
}

}  // namespace sparsed::engine
