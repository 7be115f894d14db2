#include "engine/tokenizer/text_assembler.h"

#include <algorithm>
#include <utility>

#include "engine/tokenizer/utf8.h"
#include "kernels/check.h"

namespace sparsed::engine {

TextAssembler::TextAssembler(const Tokenizer* tokenizer, Options options,
                             std::vector<TemplatePart> parts)
    : tokenizer_(tokenizer), options_(std::move(options)), parts_(std::move(parts)) {
  int32_t size = 0;
  for (const TemplatePart& part : parts_) {
    if (part.hole_tokens == 0) continue;
    Hole& hole = holes_.emplace_back();
    hole.begin = hole.next = size;
    size += part.hole_tokens;
    hole.end = size;
  }
  canvas_.resize(static_cast<size_t>(size));
  is_infill_ = parts_.size() != 1 || holes_.size() != 1;
  std::erase_if(options_.stop,
                [](const std::string& stop) { return stop.empty() || !IsValidUtf8(stop); });
}

void TextAssembler::Commit(int32_t canvas_index, int32_t token) {
  SPARSED_CHECK(canvas_index >= 0 && canvas_index < static_cast<int32_t>(canvas_.size()),
                "canvas index out of range");
  std::optional<int32_t>& slot = canvas_[static_cast<size_t>(canvas_index)];
  SPARSED_CHECK(!slot.has_value(), "canvas position committed twice");
  slot = token;
}

bool TextAssembler::IsEnd(int32_t token) const {
  return std::find(options_.end_token_ids.begin(), options_.end_token_ids.end(), token) !=
         options_.end_token_ids.end();
}

void TextAssembler::Absorb(Hole* hole, bool finish) {
  for (; hole->next < hole->end; ++hole->next) {
    const std::optional<int32_t>& token = canvas_[static_cast<size_t>(hole->next)];
    if (!token.has_value() && !finish) break;
    if (token.has_value() && !hole->cut) {
      if (options_.stop_at_end && IsEnd(*token)) {
        hole->cut = true;
      } else {
        hole->bytes += tokenizer_->Bytes(*token, /*keep_special=*/false);
      }
    }
    hole->ends.push_back(hole->bytes.size());
  }
}

TextAssembler::Hold TextAssembler::FindStop(std::string_view text, bool last) const {
  if (is_infill_ || options_.stop.empty()) return {text.size(), false};
  for (size_t at = 0; at < text.size(); ++at) {
    const std::string_view rest = text.substr(at);
    for (const std::string& stop : options_.stop) {
      if (rest.starts_with(stop)) return {at, true};
    }
    const bool may_begin =
        !last && std::any_of(options_.stop.begin(), options_.stop.end(),
                             [&](const std::string& stop) { return stop.starts_with(rest); });
    if (may_begin) return {at, false};
  }
  return {text.size(), false};
}

std::string TextAssembler::Release(Hole* hole, bool last) {
  // Character by character, so that every offset in the text has its offset in the bytes.
  const std::string_view bytes = hole->bytes;
  std::string text;
  std::vector<std::pair<size_t, size_t>> characters;  // where each ends: in the text, in the bytes
  for (size_t i = hole->given_bytes; i < bytes.size();) {
    const Utf8Char c = DecodeUtf8(bytes, i);
    if (c.truncated && !last) break;
    AppendUtf8(c.code, &text);
    i += c.length;
    characters.emplace_back(text.size(), i);
  }
  const Hold hold = FindStop(text, last);
  for (const auto& [text_end, bytes_end] : characters) {
    if (text_end <= hold.at) hole->given_bytes = bytes_end;
  }
  if (hold.stop) {
    hole->cut = true;
    hole->bytes.resize(hole->given_bytes);
    for (size_t& end : hole->ends) end = std::min(end, hole->given_bytes);
  }
  text.resize(hold.at);
  hole->text += text;
  return text;
}

std::string TextAssembler::Advance(bool finish) {
  std::string text;
  for (; part_ < parts_.size(); ++part_) {
    if (parts_[part_].hole_tokens == 0) {
      text += parts_[part_].text;
      continue;
    }
    Hole& hole = holes_[hole_];
    Absorb(&hole, finish);
    text += Release(&hole, hole.cut || hole.next == hole.end);
    if (hole.next < hole.end) break;
    ++hole_;
  }
  return text;
}

std::string TextAssembler::Take() { return Advance(/*finish=*/false); }

std::string TextAssembler::Finish() {
  finished_ = true;
  return Advance(/*finish=*/true);
}

int32_t TextAssembler::taken_positions() const {
  if (finished_) return static_cast<int32_t>(canvas_.size());
  if (hole_ == holes_.size()) return static_cast<int32_t>(canvas_.size());
  const Hole& hole = holes_[hole_];
  const auto held = std::upper_bound(hole.ends.begin(), hole.ends.end(), hole.given_bytes);
  return hole.begin + static_cast<int32_t>(held - hole.ends.begin());
}

bool TextAssembler::complete() const { return !is_infill_ && holes_[0].cut; }

bool TextAssembler::stopped() const { return !holes_.empty() && holes_.back().cut; }

std::vector<std::string> TextAssembler::HoleTexts() const {
  std::vector<std::string> texts;
  for (const Hole& hole : holes_) texts.push_back(hole.text);
  return texts;
}

}  // namespace sparsed::engine
