#include "server/log.h"

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <map>
#include <sstream>

#include "tests/unit/server/fakes.h"

namespace sparsed::server {
namespace {

// What is written to standard error as long as it lives.
class CapturedStderr {
 public:
  CapturedStderr() : file_(std::tmpfile()), before_(dup(STDERR_FILENO)) {
    dup2(fileno(file_), STDERR_FILENO);
  }
  ~CapturedStderr() {
    dup2(before_, STDERR_FILENO);
    close(before_);
    std::fclose(file_);
  }
  std::string Text() const {
    std::string text;
    std::rewind(file_);
    for (int c = std::fgetc(file_); c != EOF; c = std::fgetc(file_)) text += static_cast<char>(c);
    return text;
  }

 private:
  std::FILE* const file_;
  const int before_;
};

}  // namespace

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

TEST_CASE("log: repeated warnings are left out and told; access lines and errors are all there") {
  FakeClock clock;
  std::string text;
  {
    const CapturedStderr captured;
    {
      const Log log("info", "json", clock.clock());
      const auto burst = [&log] {
        for (int i = 0; i < 30; ++i) {
          log.Info("access", {{"request_id", i}});
          log.Error("sequence_failed", {{"request_id", i}});
          log.Warning("grpc", {{"cause", "x"}});
        }
      };
      burst();
      log.ReportSuppressed();
      clock.Advance(std::chrono::seconds(1));
      burst();  // its first warning tells of the 20
      clock.Advance(std::chrono::seconds(1));
      log.ReportSuppressed();  // 20 more
      burst();
    }  // and the last 20
    text = captured.Text();
  }
  std::map<std::string, int> lines;
  std::vector<int> suppressed;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    const auto parsed = nlohmann::json::parse(line, nullptr, false);
    REQUIRE(parsed.is_object());
    ++lines[parsed["event"].get<std::string>()];
    if (parsed.contains("suppressed")) suppressed.push_back(parsed["suppressed"].get<int>());
  }
  CHECK(lines["access"] == 90);
  CHECK(lines["sequence_failed"] == 90);
  CHECK(lines["grpc"] == 32);
  CHECK(suppressed == std::vector<int>{20, 20, 20});
}

}  // namespace sparsed::server
