#include "clients/cpp/infill_template.h"

#include <cstdint>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace sparsed::clients {
namespace {

constexpr std::string_view kOpen = "{{";
constexpr std::string_view kClose = "}}";

absl::Status BadHole(size_t offset, const std::string& found) {
  return absl::InvalidArgumentError(
      absl::StrCat("template: column ", offset + 1, ": expected {{N}} with N tokens, 1 to ",
                   UINT32_MAX, ", got ", found, "; write \\{{ for two literal braces"));
}

void AddText(std::string* text, v1::Infill* infill) {
  if (text->empty()) return;
  infill->add_parts()->set_text(*text);
  text->clear();
}

}  // namespace

absl::StatusOr<v1::Infill> ParseInfillTemplate(std::string_view text) {
  v1::Infill infill;
  std::string fixed;
  bool any_hole = false;
  for (size_t i = 0; i < text.size();) {
    size_t backslashes = 0;
    while (i + backslashes < text.size() && text[i + backslashes] == '\\') ++backslashes;
    const size_t open = i + backslashes;
    if (text.substr(open, kOpen.size()) != kOpen) {
      const size_t taken = backslashes > 0 ? backslashes : 1;
      fixed.append(text.substr(i, taken));
      i += taken;
      continue;
    }
    fixed.append(backslashes / 2, '\\');
    if (backslashes % 2 == 1) {
      fixed.append(kOpen);
      i = open + kOpen.size();
      continue;
    }
    const size_t close = text.find(kClose, open);
    if (close == std::string_view::npos) return BadHole(open, "no closing braces");
    const std::string number(text.substr(open + kOpen.size(), close - open - kOpen.size()));
    uint32_t tokens = 0;
    if (!absl::SimpleAtoi(absl::StripAsciiWhitespace(number), &tokens) || tokens == 0) {
      return BadHole(open, absl::StrCat("{{", number, "}}"));
    }
    AddText(&fixed, &infill);
    infill.add_parts()->set_hole_tokens(tokens);
    any_hole = true;
    i = close + kClose.size();
  }
  AddText(&fixed, &infill);
  if (!any_hole) {
    return absl::InvalidArgumentError("template: no hole; write {{N}} where N tokens are missing");
  }
  return infill;
}

}  // namespace sparsed::clients
