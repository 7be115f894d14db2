#include "server/log.h"

#include "tests/testing/catch.h"

namespace sparsed::server {

TEST_CASE("log: one JSON object a line, whatever the values hold") {
  const std::string line = FormatLogLine("json", "2026-01-02T03:04:05.006Z", "info", "access_line",
                                         {{"request_id", "a\nb\x1b[31m\x7f \xFF"}, {"steps", 3}});
  CHECK(line.find('\n') == std::string::npos);
  for (const unsigned char c : line) CHECK((c >= 0x20 && c < 0x7F));
  const auto parsed = nlohmann::json::parse(line, nullptr, false);
  REQUIRE(parsed.is_object());
  CHECK(parsed["ts"] == "2026-01-02T03:04:05.006Z");
  CHECK(parsed["level"] == "info");
  CHECK(parsed["event"] == "access_line");
  CHECK(parsed["steps"] == 3);
  CHECK(parsed["request_id"] == "a\nb\x1b[31m\x7f \xEF\xBF\xBD");
}

TEST_CASE("log: text lines escape as well") {
  const std::string line =
      FormatLogLine("text", "T", "error", "exit", {{"cause", "two\nlines"}, {"code", 1}});
  CHECK(line == "T error exit cause=\"two\\nlines\" code=1");
}

}  // namespace sparsed::server
