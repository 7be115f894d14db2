#include "engine/tokenizer/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "absl/strings/str_cat.h"
#include "engine/tokenizer/utf8.h"

namespace sparsed::engine {
namespace {

struct FreeMatchData {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};
struct FreeCompileContext {
  void operator()(pcre2_compile_context* context) const { pcre2_compile_context_free(context); }
};

std::string ErrorText(int code) {
  PCRE2_UCHAR buffer[256] = {};
  pcre2_get_error_message(code, buffer, sizeof(buffer));
  return reinterpret_cast<const char*>(buffer);
}

// One match at or after `offset`. The JIT's stack is small and fixed: the interpreter, whose memory
// is on the heap, takes over where it does not suffice.
int Match(const pcre2_code* code, std::string_view text, size_t offset, pcre2_match_data* data) {
  const auto subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  const int result =
      pcre2_match(code, subject, text.size(), offset, PCRE2_NO_UTF_CHECK, data, nullptr);
  if (result != PCRE2_ERROR_JIT_STACKLIMIT) return result;
  return pcre2_match(code, subject, text.size(), offset, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, data,
                     nullptr);
}

}  // namespace

void Regex::FreeCode::operator()(pcre2_real_code_8* code) const { pcre2_code_free(code); }

absl::StatusOr<Regex> Regex::Compile(const std::string& pcre2_pattern) {
  const std::unique_ptr<pcre2_compile_context, FreeCompileContext> context(
      pcre2_compile_context_create(nullptr));
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code* code =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pcre2_pattern.data()), pcre2_pattern.size(),
                    PCRE2_UTF | PCRE2_UCP, &error, &offset, context.get());
  if (code == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("regular expression: ", ErrorText(error),
                                                   " (translated to ", pcre2_pattern, ", byte ",
                                                   offset, ")"));
  }
  // Without a JIT on this machine the interpreter gives the same matches.
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
  return Regex(code);
}

absl::Status Regex::Split(std::string_view text, std::vector<size_t>* ends) const {
  const std::unique_ptr<pcre2_match_data, FreeMatchData> data(
      pcre2_match_data_create_from_pattern(code_.get(), nullptr));
  size_t last = 0;  // end of the last piece
  const auto cut = [&](size_t end) {
    if (end > last) ends->push_back(end);
    last = end;
  };
  // An empty match cuts too, but not directly behind the previous match.
  size_t last_match_end = std::string_view::npos;
  for (size_t offset = 0; offset <= text.size();) {
    const int result = Match(code_.get(), text, offset, data.get());
    if (result == PCRE2_ERROR_NOMATCH) break;
    if (result < 0) {
      return absl::InvalidArgumentError(absl::StrCat(
          "text cannot be split by the tokenizer's regular expression: ", ErrorText(result)));
    }
    const PCRE2_SIZE* range = pcre2_get_ovector_pointer(data.get());
    const size_t start = range[0];
    const size_t end = range[1];
    if (start == end && end == last_match_end) {
      offset = end < text.size() ? end + DecodeUtf8(text, end).length : end + 1;
      continue;
    }
    cut(start);
    cut(end);
    last_match_end = end;
    offset = end;
  }
  cut(text.size());
  return absl::OkStatus();
}

}  // namespace sparsed::engine
