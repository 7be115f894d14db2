#include "engine/tokenizer/bpe.h"

#include <algorithm>
#include <queue>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/tokenizer/utf8.h"

namespace sparsed::engine {
namespace {

uint64_t PairKey(int32_t left, int32_t right) {
  return (static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32) | static_cast<uint32_t>(right);
}

struct Candidate {
  uint32_t rank;
  int32_t position;
  int32_t id;
};

// Of std::priority_queue, which pops its greatest: the lowest rank first, then the leftmost.
struct Later {
  bool operator()(const Candidate& a, const Candidate& b) const {
    return a.rank != b.rank ? a.rank > b.rank : a.position > b.position;
  }
};

}  // namespace

Bpe::Bpe(Vocabulary vocabulary, Options options)
    : vocabulary_(std::move(vocabulary)), options_(std::move(options)) {
  for (size_t code = 0; code < short_characters_.size(); ++code) {
    std::string character;
    AppendUtf8(static_cast<char32_t>(code), &character);
    short_characters_[code] = FindToken(character);
  }
  for (size_t byte = 0; byte < byte_tokens_.size(); ++byte) {
    byte_tokens_[byte] = FindToken(absl::StrFormat("<0x%02X>", static_cast<unsigned>(byte)));
  }
}

absl::StatusOr<Bpe> Bpe::Create(Vocabulary vocabulary,
                                const std::vector<std::pair<std::string, std::string>>& merges,
                                Options options) {
  Bpe bpe(std::move(vocabulary), std::move(options));
  if (!bpe.options_.unk_token.empty()) {
    bpe.unk_id_ = bpe.FindToken(bpe.options_.unk_token);
    if (bpe.unk_id_ < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("unk_token: \"", bpe.options_.unk_token, "\" is not in vocab"));
    }
  }
  const std::string& prefix = bpe.options_.continuing_subword_prefix;
  bpe.merges_.reserve(merges.size());
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const auto& [left, right] = merges[rank];
    if (right.size() < prefix.size()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "merges[", rank, "]: \"", right, "\" is shorter than continuing_subword_prefix"));
    }
    const std::string joined = left + right.substr(prefix.size());
    for (const std::string& token : {left, right, joined}) {
      if (bpe.FindToken(token) < 0) {
        return absl::InvalidArgumentError(
            absl::StrCat("merges[", rank, "]: \"", token, "\" is not in vocab"));
      }
    }
    bpe.merges_[PairKey(bpe.FindToken(left), bpe.FindToken(right))] = {static_cast<uint32_t>(rank),
                                                                       bpe.FindToken(joined)};
  }
  return bpe;
}

int32_t Bpe::FindToken(std::string_view token) const {
  const auto found = vocabulary_.find(token);
  return found == vocabulary_.end() ? -1 : found->second;
}

const Bpe::Merge* Bpe::FindMerge(int32_t left, int32_t right) const {
  const auto found = merges_.find(PairKey(left, right));
  return found == merges_.end() ? nullptr : &found->second;
}

int32_t Bpe::FindCharacter(std::string_view character, bool first, bool last) const {
  const bool prefixed = !first && !options_.continuing_subword_prefix.empty();
  const bool suffixed = last && !options_.end_of_word_suffix.empty();
  if (!prefixed && !suffixed) {
    const char32_t code = DecodeUtf8(character, 0).code;
    if (code < short_characters_.size()) return short_characters_[code];
    return FindToken(character);
  }
  std::string spelled = prefixed ? options_.continuing_subword_prefix : std::string();
  spelled += character;
  if (suffixed) spelled += options_.end_of_word_suffix;
  return FindToken(spelled);
}

bool Bpe::AppendFallback(std::string_view character, bool first, bool last,
                         std::vector<Symbol>* symbols) const {
  std::string spelled = first ? std::string() : options_.continuing_subword_prefix;
  spelled += character;
  if (last) spelled += options_.end_of_word_suffix;
  const auto id_of = [this](char byte) { return byte_tokens_[static_cast<uint8_t>(byte)]; };
  if (!std::all_of(spelled.begin(), spelled.end(), [&](char c) { return id_of(c) >= 0; })) {
    return false;
  }
  for (const char byte : spelled) symbols->push_back({.id = id_of(byte)});
  return true;
}

std::vector<Bpe::Symbol> Bpe::Characters(std::string_view word) const {
  std::vector<Symbol> symbols;
  symbols.reserve(word.size());
  // An unknown character waits here: it may be fused with the next, and bytes of a fallback are
  // written before it, as the library does.
  bool unknown = false;
  for (size_t i = 0; i < word.size();) {
    const uint32_t length = DecodeUtf8(word, i).length;
    const std::string_view character = word.substr(i, length);
    const bool first = i == 0;
    i += length;
    const bool last = i == word.size();
    const int32_t id = FindCharacter(character, first, last);
    if (id >= 0) {
      if (unknown) symbols.push_back({.id = unk_id_});
      unknown = false;
      symbols.push_back({.id = id});
      continue;
    }
    if (options_.byte_fallback && AppendFallback(character, first, last, &symbols)) continue;
    if (unk_id_ < 0) continue;
    if (unknown && !options_.fuse_unk) symbols.push_back({.id = unk_id_});
    unknown = true;
  }
  if (unknown) symbols.push_back({.id = unk_id_});
  return symbols;
}

void Bpe::MergeAll(std::vector<Symbol>* symbols) const {
  std::vector<Symbol>& list = *symbols;
  const auto size = static_cast<int32_t>(list.size());
  std::vector<Candidate> initial;
  for (int32_t i = 0; i < size; ++i) {
    list[i].previous = i - 1;
    list[i].next = i + 1 < size ? i + 1 : -1;
    if (i + 1 == size) break;
    if (const Merge* merge = FindMerge(list[i].id, list[i + 1].id)) {
      initial.push_back({merge->rank, i, merge->id});
    }
  }
  std::priority_queue<Candidate, std::vector<Candidate>, Later> queue(Later(), std::move(initial));
  std::vector<Candidate> held;  // the new pairs of the rank at work, where they have to wait
  uint32_t rank = 0;
  const auto push = [&](int32_t position) {
    const Symbol& left = list[position];
    const Merge* merge = FindMerge(left.id, list[left.next].id);
    if (merge == nullptr) return;
    const Candidate candidate = {merge->rank, position, merge->id};
    if (options_.whole_rank_at_once) {
      held.push_back(candidate);
    } else {
      queue.push(candidate);
    }
  };
  while (!queue.empty() || !held.empty()) {
    if (queue.empty() || queue.top().rank != rank) {
      for (const Candidate& candidate : held) queue.push(candidate);
      held.clear();
    }
    const Candidate top = queue.top();
    queue.pop();
    rank = top.rank;
    Symbol& left = list[top.position];
    if (left.removed || left.next < 0) continue;
    Symbol& right = list[left.next];
    const Merge* merge = FindMerge(left.id, right.id);
    if (merge == nullptr || merge->id != top.id) continue;
    if (options_.whole_rank_at_once && merge->rank != top.rank) continue;
    left.id = top.id;
    left.next = right.next;
    right.removed = true;
    if (left.next >= 0) {
      list[left.next].previous = top.position;
      push(top.position);
    }
    if (left.previous >= 0) push(left.previous);
  }
}

void Bpe::Encode(std::string_view word, std::vector<int32_t>* ids) const {
  if (word.empty()) return;
  if (options_.ignore_merges) {
    if (const int32_t id = FindToken(word); id >= 0) {
      ids->push_back(id);
      return;
    }
  }
  std::vector<Symbol> symbols = Characters(word);
  if (symbols.size() > 1) MergeAll(&symbols);
  for (const Symbol& symbol : symbols) {
    if (!symbol.removed) ids->push_back(symbol.id);
  }
}

}  // namespace sparsed::engine
