// Renders a conversation with a checkpoint's chat_template: a small subset of Jinja.
// Next: template_lexer.h, template_ast.h (parsing), template_evaluator.h (rendering).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/tokenizer/tokenizer.h"

namespace sparsed::engine {

struct ChatMessage {
  std::string role;
  std::string content;
};

struct Statement;
struct TrackedText;

// Understands set, if, for, + ~ and integer arithmetic, comparisons, in, is, and/or/not, slices,
// namespace, raise_exception, the filters trim, tojson, length, default, string, first, last, the
// string methods strip, startswith, endswith, split, and white space control; white space as
// transformers sets Jinja up (trim_blocks, lstrip_blocks). Templates see messages,
// add_generation_prompt, bos_token, eos_token, tools and documents (both none).
// Immutable after Load; thread-safe.
class ChatTemplate {
 public:
  // Parses the template of dir/tokenizer_config.json (a string or a list of named ones, "default"
  // counts) or, where there is one, dir/chat_template.jinja. Errors: INVALID_ARGUMENT naming the
  // unknown construct and its line; NOT_FOUND where the checkpoint has no template.
  static absl::StatusOr<std::unique_ptr<ChatTemplate>> Load(const std::string& dir);
  // An empty bos_token or eos_token is undefined in the template.
  static absl::StatusOr<std::unique_ptr<ChatTemplate>> Parse(const std::string& source,
                                                             const std::string& bos_token,
                                                             const std::string& eos_token);
  ~ChatTemplate();

  // The prompt as text, generation prompt added. Errors: INVALID_ARGUMENT (the template raises, or
  // a message is not UTF-8).
  absl::StatusOr<std::string> Render(const std::vector<ChatMessage>& messages) const;
  // The prompt as ids: special tokens that the template writes are parsed, those inside a message's
  // role or content are plain text. Errors: as Render and Tokenizer::Encode.
  absl::StatusOr<std::vector<int32_t>> Encode(const std::vector<ChatMessage>& messages,
                                              const Tokenizer& tokenizer) const;

 private:
  ChatTemplate(std::vector<std::unique_ptr<Statement>> statements, const std::string& bos_token,
               const std::string& eos_token);
  absl::StatusOr<TrackedText> RenderTracked(const std::vector<ChatMessage>& messages) const;

  std::vector<std::unique_ptr<Statement>> statements_;
  std::string bos_token_;
  std::string eos_token_;
};

}  // namespace sparsed::engine
