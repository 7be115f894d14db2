#include "engine/tokenizer/tokenizer.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/checkpoint/strict_json.h"
#include "engine/status_macros.h"
#include "engine/tokenizer/byte_level.h"
#include "engine/tokenizer/tokenizer_definition.h"

namespace sparsed::engine {
namespace {

constexpr uint64_t kMaxFileBytes = 100'000'000;

// Empty where there is no such file. Errors: INVALID_ARGUMENT (there is, but it cannot be read or
// is empty).
absl::StatusOr<std::string> ReadIfThere(const std::string& dir, const char* name) {
  const std::string path = absl::StrCat(dir, "/", name);
  absl::StatusOr<std::string> content = ReadWholeFile(path, kMaxFileBytes);
  if (absl::IsNotFound(content.status())) return std::string();
  if (content.ok() && content->empty()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": empty"));
  }
  return content;
}

// The ranges of `text` as ranges of its NFC. An ASCII character never combines with what stands
// before it, so normalisation can be cut there, and every part is normalised about twice.
std::vector<PlainRange> MapToNfc(std::string_view text, const std::vector<PlainRange>& ranges) {
  size_t cut = 0;         // normalisation was cut here
  size_t cut_mapped = 0;  // which is there in the NFC
  const auto map = [&](size_t at) {
    size_t next = at;
    while (next > cut && next < text.size() && static_cast<uint8_t>(text[next]) >= 0x80) --next;
    cut_mapped += NormalizeNfc(text.substr(cut, next - cut)).size();
    cut = next;
    return cut_mapped + NormalizeNfc(text.substr(cut, at - cut)).size();
  };
  std::vector<PlainRange> mapped;
  mapped.reserve(ranges.size());
  for (const PlainRange& range : ranges) {
    const size_t begin = map(range.begin);
    mapped.push_back({begin, map(range.end)});
  }
  return mapped;
}

std::vector<PlainRange> Clip(const std::vector<PlainRange>& ranges, size_t begin, size_t end) {
  std::vector<PlainRange> clipped;
  for (const PlainRange& range : ranges) {
    const size_t from = std::max(range.begin, begin);
    const size_t to = std::min(range.end, end);
    if (from < to) clipped.push_back({from - begin, to - begin});
  }
  return clipped;
}

}  // namespace

Tokenizer::Tokenizer(std::unique_ptr<const TokenizerDefinition> definition)
    : definition_(std::move(definition)) {}

Tokenizer::~Tokenizer() = default;

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::Load(const std::string& dir) {
  const auto in_dir = [&](const absl::Status& status) {
    return absl::Status(status.code(), absl::StrCat(dir, "/", std::string(status.message())));
  };
  SPARSED_ASSIGN_OR_RETURN(const std::string config, ReadIfThere(dir, "tokenizer_config.json"));
  SPARSED_ASSIGN_OR_RETURN(const std::string tokenizer_json, ReadIfThere(dir, "tokenizer.json"));
  if (!tokenizer_json.empty()) {
    auto tokenizer = Parse(tokenizer_json, config);
    if (!tokenizer.ok()) return in_dir(tokenizer.status());
    return tokenizer;
  }
  SPARSED_ASSIGN_OR_RETURN(const std::string vocab, ReadIfThere(dir, "vocab.json"));
  SPARSED_ASSIGN_OR_RETURN(const std::string merges, ReadIfThere(dir, "merges.txt"));
  if (vocab.empty() || merges.empty()) {
    const char* missing = vocab.empty() && merges.empty() ? "vocab.json with merges.txt"
                          : vocab.empty()                 ? "vocab.json beside merges.txt"
                                                          : "merges.txt beside vocab.json";
    return absl::NotFoundError(absl::StrCat(dir, ": neither tokenizer.json nor ", missing));
  }
  SPARSED_ASSIGN_OR_RETURN(const std::string added, ReadIfThere(dir, "added_tokens.json"));
  auto definition = ParseQwen2Files(vocab, merges, config, added);
  if (!definition.ok()) return in_dir(definition.status());
  return Build(*std::move(definition));
}

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::Parse(const std::string& tokenizer_json,
                                                            const std::string& tokenizer_config) {
  SPARSED_ASSIGN_OR_RETURN(TokenizerDefinition definition,
                           ParseTokenizerJson(tokenizer_json, tokenizer_config));
  return Build(std::move(definition));
}

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::Build(TokenizerDefinition parsed) {
  std::unique_ptr<Tokenizer> tokenizer(
      new Tokenizer(std::make_unique<const TokenizerDefinition>(std::move(parsed))));
  const TokenizerDefinition& definition = *tokenizer->definition_;
  if (definition.python_rules) tokenizer->raw_ = AddedTokenMatcher(IsPythonSpace);
  const auto entry = [&](int32_t id) -> Entry& {
    std::vector<Entry>& entries = tokenizer->entries_;
    if (static_cast<size_t>(id) >= entries.size()) entries.resize(static_cast<size_t>(id) + 1);
    return entries[static_cast<size_t>(id)];
  };
  for (const auto& [token, id] : definition.bpe.vocabulary()) {
    entry(id).bytes = BytesOfToken(token);
  }
  for (const AddedToken& token : definition.added_tokens) {
    const bool normalized = token.normalized && !definition.python_rules;
    const std::string pattern =
        normalized && definition.nfc ? NormalizeNfc(token.content) : token.content;
    entry(token.id) = {definition.python_rules ? pattern : BytesOfToken(pattern), token.special};
    AddedTokenMatcher& matcher = normalized ? tokenizer->normalized_ : tokenizer->raw_;
    if (!matcher.Add(pattern, token)) {
      return absl::InvalidArgumentError(
          absl::StrCat("added token \"", token.content, "\": another one has the same NFC"));
    }
  }
  return tokenizer;
}

absl::StatusOr<std::vector<int32_t>> Tokenizer::Encode(std::string_view text,
                                                       Special special) const {
  std::vector<PlainRange> plain;
  if (special == Special::kPlain) plain.push_back({0, text.size()});
  return Encode(text, plain);
}

absl::StatusOr<std::vector<int32_t>> Tokenizer::Encode(std::string_view text,
                                                       const std::vector<PlainRange>& plain) const {
  if (!IsValidUtf8(text)) return absl::InvalidArgumentError("text is not valid UTF-8");
  std::vector<int32_t> ids;
  if (definition_->python_rules) {
    SPARSED_RETURN_IF_ERROR(EncodeText(NormalizeNfc(text), MapToNfc(text, plain), &ids));
  } else {
    SPARSED_RETURN_IF_ERROR(EncodeText(text, plain, &ids));
  }
  return ids;
}

absl::Status Tokenizer::EncodeText(std::string_view text, const std::vector<PlainRange>& plain,
                                   std::vector<int32_t>* ids) const {
  std::vector<TextPiece> pieces;
  raw_.Split(text, plain, &pieces);
  for (const TextPiece& piece : pieces) {
    if (piece.id.has_value()) {
      ids->push_back(*piece.id);
      continue;
    }
    std::vector<PlainRange> within;
    if (normalized_.has_special()) within = Clip(plain, piece.begin, piece.end);
    SPARSED_RETURN_IF_ERROR(
        EncodePiece(text.substr(piece.begin, piece.end - piece.begin), within, ids));
  }
  return absl::OkStatus();
}

absl::Status Tokenizer::EncodePiece(std::string_view text, const std::vector<PlainRange>& plain,
                                    std::vector<int32_t>* ids) const {
  const std::string normalized = definition_->nfc ? NormalizeNfc(text) : std::string(text);
  const bool unchanged = normalized == text || plain.empty();
  std::vector<TextPiece> pieces;
  normalized_.Split(normalized, unchanged ? plain : MapToNfc(text, plain), &pieces);
  for (const TextPiece& piece : pieces) {
    if (piece.id.has_value()) {
      ids->push_back(*piece.id);
    } else {
      SPARSED_RETURN_IF_ERROR(
          EncodeWords(normalized.substr(piece.begin, piece.end - piece.begin), ids));
    }
  }
  return absl::OkStatus();
}

absl::Status Tokenizer::EncodeWords(std::string text, std::vector<int32_t>* ids) const {
  const size_t size = text.size();
  Words words{std::move(text), {size}};
  for (const auto& step : definition_->steps) SPARSED_RETURN_IF_ERROR(step->Apply(&words));
  words.ForEach([&](std::string_view word) { definition_->bpe.Encode(word, ids); });
  return absl::OkStatus();
}

std::string Tokenizer::Bytes(int32_t id, bool keep_special) const {
  if (id < 0 || id >= vocab_size()) return "";
  const Entry& entry = entries_[static_cast<size_t>(id)];
  return entry.special && !keep_special ? std::string() : entry.bytes;
}

std::string Tokenizer::Decode(const std::vector<int32_t>& ids, bool keep_special) const {
  std::string bytes;
  for (const int32_t id : ids) bytes += Bytes(id, keep_special);
  return ToValidUtf8(bytes);
}

int32_t Tokenizer::vocab_size() const { return static_cast<int32_t>(entries_.size()); }

bool Tokenizer::IsSpecial(int32_t id) const {
  return id >= 0 && id < vocab_size() && entries_[static_cast<size_t>(id)].special;
}

int32_t Tokenizer::Find(std::string_view token) const {
  for (const AddedToken& added : definition_->added_tokens) {
    if (added.content == token) return added.id;
  }
  return -1;
}

std::string Tokenizer::Describe() const {
  return absl::StrCat(
      "BPE from ", definition_->python_rules ? "vocab.json and merges.txt" : "tokenizer.json",
      definition_->nfc ? ", NFC, " : ", ", definition_->added_tokens.size(), " added tokens");
}

}  // namespace sparsed::engine
