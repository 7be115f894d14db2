#include "clients/cpp/chat_turns.h"

namespace sparsed::clients {

v1::ChatMessage ParseTurn(const std::string& argument) {
  v1::ChatMessage message;
  for (const char* role : {"system", "user", "assistant"}) {
    const std::string prefix = std::string(role) + ":";
    if (argument.rfind(prefix, 0) != 0) continue;
    const size_t skip = argument.compare(prefix.size(), 1, " ") == 0 ? 1 : 0;
    message.set_role(role);
    message.set_content(argument.substr(prefix.size() + skip));
    return message;
  }
  message.set_role("user");
  message.set_content(argument);
  return message;
}

}  // namespace sparsed::clients
