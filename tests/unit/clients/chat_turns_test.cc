#include "clients/cpp/chat_turns.h"

#include "tests/testing/catch.h"

namespace sparsed::clients {
namespace {

TEST_CASE("turns carry their role, or are the user's") {
  struct Case {
    const char* argument;
    const char* role;
    const char* content;
  };
  const Case cases[] = {
      {"hello", "user", "hello"},
      {"user:hello", "user", "hello"},
      {"assistant: hi", "assistant", "hi"},
      {"system:  two blanks", "system", " two blanks"},
      {"note: buy milk", "user", "note: buy milk"},
      {"User: x", "user", "User: x"},
      {"user:", "user", ""},
  };
  for (const Case& c : cases) {
    CAPTURE(c.argument);
    const v1::ChatMessage turn = ParseTurn(c.argument);
    CHECK(turn.role() == c.role);
    CHECK(turn.content() == c.content);
  }
}

}  // namespace
}  // namespace sparsed::clients
