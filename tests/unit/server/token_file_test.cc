#include "server/token_file.h"

#include "tests/testing/catch.h"

namespace sparsed::server {
namespace {

// SHA-256 of "secret" and of "other", from sha256sum.
constexpr char kHashOfSecret[] = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
constexpr char kHashOfOther[] = "d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa";

}  // namespace

TEST_CASE("tokens: lines, comments and blank lines") {
  const auto entries = ParseTokens(std::string("# people\n\nann:") + kHashOfSecret +
                                   "\r\n  team:b:" + kHashOfOther + "  \n");
  REQUIRE(entries.ok());
  REQUIRE(entries->size() == 2);
  CHECK(FindToken(*entries, "secret")->name == "ann");
  CHECK(FindToken(*entries, "secret")->models.empty());
  CHECK(FindToken(*entries, "other")->name == "team:b");
  for (const char* bad : {"", "Secret", "secret ", "secretother", kHashOfSecret}) {
    INFO(bad);
    CHECK_FALSE(FindToken(*entries, bad).has_value());
  }
  CHECK_FALSE(FindToken({}, "secret").has_value());
}

TEST_CASE("tokens: a line may name the models that its token is for") {
  const auto entries = ParseTokens(std::string("ann:") + kHashOfSecret +
                                   ":nano\nteam:b:" + kHashOfOther + ":org/a:7b,nano\n");
  REQUIRE(entries.ok());
  CHECK(FindToken(*entries, "secret")->models == std::vector<std::string>{"nano"});
  const std::optional<Caller> other = FindToken(*entries, "other");
  CHECK(other->name == "team:b");
  CHECK(other->models == std::vector<std::string>{"org/a:7b", "nano"});
}

TEST_CASE("tokens: the line that is wrong is named, its content is not") {
  const std::string good = std::string("ann:") + kHashOfSecret + "\n";
  for (const std::string& bad :
       {std::string("plain-text-token"), std::string("ann:1234"), std::string(":") + kHashOfSecret,
        std::string("a b:") + kHashOfSecret, "x:" + std::string(63, 'a') + "g",
        "x:" + std::string(65, 'a'), std::string(65, 'n') + ":" + kHashOfSecret,
        std::string("x:") + kHashOfSecret + ":", std::string("x:") + kHashOfSecret + ":a,,b",
        std::string("x:") + kHashOfSecret + ":a, b", std::string("x:") + kHashOfSecret + "nano"}) {
    const auto entries = ParseTokens(good + bad);
    INFO(bad);
    REQUIRE_FALSE(entries.ok());
    const std::string message(entries.status().message());
    CHECK(message.find("line 2") != std::string::npos);
    CHECK(message.find(bad) == std::string::npos);
  }
  CHECK_FALSE(ParseTokens("").ok());
  CHECK_FALSE(ParseTokens("# none\n").ok());
  CHECK_FALSE(ReadTokenFile("/nowhere").ok());
}

}  // namespace sparsed::server
