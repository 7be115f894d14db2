// Renders a conversation with a checkpoint's chat_template: a small subset of Jinja.
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

// Immutable after Load; thread-safe.
class ChatTemplate {
 public:
  // Parses the template of dir/tokenizer_config.json (a string or a list of named ones, "default"
  // counts) or dir/chat_template.jinja. Errors: INVALID_ARGUMENT naming the unknown construct and
  // its line; NOT_FOUND where the checkpoint has no template.
  static absl::StatusOr<std::unique_ptr<ChatTemplate>> Load(const std::string& dir);
  static absl::StatusOr<std::unique_ptr<ChatTemplate>> Parse(const std::string& source,
                                                             const std::string& bos_token,
                                                             const std::string& eos_token);
  virtual ~ChatTemplate() = default;

  // The prompt as text, generation prompt added. Errors: INVALID_ARGUMENT (the template raises).
  virtual absl::StatusOr<std::string> Render(const std::vector<ChatMessage>& messages) const = 0;
  // The prompt as ids: special tokens that the template writes are parsed, those inside a message's
  // role or content are plain text.
  virtual absl::StatusOr<std::vector<int32_t>> Encode(const std::vector<ChatMessage>& messages,
                                                      const Tokenizer& tokenizer) const = 0;
};

}  // namespace sparsed::engine
