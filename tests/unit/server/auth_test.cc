#include "server/auth.h"

#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>
#include <vector>

#include "tests/unit/server/fakes.h"

namespace sparsed::server {
namespace {

// SHA-256 of "secret" and of "other", from sha256sum.
constexpr char kSecret[] = "ann:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b\n";
constexpr char kOther[] = "bob:d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa\n";

class TokenFile {
 public:
  TokenFile()
      : path_(std::filesystem::temp_directory_path() / ("auth-" + std::to_string(getpid()))) {}
  ~TokenFile() { std::filesystem::remove(path_); }
  void Write(const std::string& text) const { std::ofstream(path_) << text; }
  std::string path() const { return path_.string(); }

 private:
  const std::filesystem::path path_;
};

std::string Reason(const std::optional<Failure>& failure) {
  if (!failure) return "";
  CHECK(failure->code() == grpc::StatusCode::UNAUTHENTICATED);
  return DetailOf<google::rpc::ErrorInfo>(*failure).reason();
}

}  // namespace

TEST_CASE("auth: without a file everyone is let in, with or without a token") {
  Auth auth("");
  CHECK(auth.Load().ok());
  Caller caller;
  caller.name = "unchanged";
  CHECK_FALSE(auth.Check({}, &caller).has_value());
  CHECK_FALSE(auth.Check({"Bearer x"}, &caller).has_value());
  CHECK(caller.name == "unchanged");
}

TEST_CASE("auth: one bearer token that is known, and nothing else") {
  TokenFile file;
  file.Write(kSecret);
  Auth auth(file.path());
  Caller caller;
  // Nobody before the file has been read.
  CHECK(Reason(auth.Check({"Bearer secret"}, &caller)) == "TOKEN_INVALID");
  REQUIRE(auth.Load().ok());
  CHECK_FALSE(auth.Check({"Bearer secret"}, &caller).has_value());
  CHECK(caller.name == "ann");
  CHECK_FALSE(auth.Check({"bearer secret"}, &caller).has_value());
  CHECK(Reason(auth.Check({}, &caller)) == "TOKEN_MISSING");
  for (const char* bad : {"", "secret", "Bearer", "Bearer ", "Bearer  secret", "Bearer secret ",
                          "Basic secret", "Bearer other", "Bearer ann"}) {
    INFO(bad);
    const auto failure = auth.Check({bad}, &caller);
    CHECK(Reason(failure) == "TOKEN_INVALID");
    CHECK(failure->status.message().find("secret") == std::string::npos);
  }
  CHECK(Reason(auth.Check({"Bearer secret", "Bearer secret"}, &caller)) == "TOKEN_INVALID");
}

TEST_CASE("auth: the models that a token is limited to come with it, and go with it") {
  TokenFile file;
  file.Write(std::string(kSecret).substr(0, sizeof(kSecret) - 2) + ":nano,llada\n" + kOther);
  Auth auth(file.path());
  REQUIRE(auth.Load().ok());
  Caller caller;
  CHECK_FALSE(auth.Check({"Bearer secret"}, &caller).has_value());
  CHECK(caller.name == "ann");
  CHECK(caller.MayUse("nano"));
  CHECK(caller.MayUse("llada"));
  for (const char* other : {"", "Nano", "nano,llada", "dream"}) CHECK_FALSE(caller.MayUse(other));
  CHECK_FALSE(auth.Check({"Bearer other"}, &caller).has_value());
  CHECK(caller.MayUse("dream"));
}

TEST_CASE("auth: a new file replaces the tokens, one that is wrong does not") {
  TokenFile file;
  file.Write(kSecret);
  Auth auth(file.path());
  REQUIRE(auth.Load().ok());
  file.Write(kOther);
  Caller caller;
  CHECK_FALSE(auth.Check({"Bearer secret"}, &caller).has_value());
  REQUIRE(auth.Load().ok());
  CHECK(auth.Check({"Bearer secret"}, &caller).has_value());
  CHECK_FALSE(auth.Check({"Bearer other"}, &caller).has_value());
  for (const char* bad : {"", "ann:12\n"}) {
    file.Write(bad);
    CHECK_FALSE(auth.Load().ok());
    CHECK_FALSE(auth.Check({"Bearer other"}, &caller).has_value());
  }
}

TEST_CASE("auth: tokens are replaced while many ask, and nobody who is known is refused") {
  TokenFile file;
  file.Write(kSecret);
  Auth auth(file.path());
  REQUIRE(auth.Load().ok());
  std::atomic<bool> done = false;
  std::atomic<int> refused = 0;
  std::vector<std::thread> callers;
  for (int i = 0; i < 3; ++i) {
    callers.emplace_back([&] {
      Caller caller;
      while (!done) refused += auth.Check({"Bearer secret"}, &caller).has_value() ? 1 : 0;
    });
  }
  for (int i = 0; i < 200; ++i) {
    file.Write(i % 2 == 0 ? std::string(kOther) + kSecret : std::string(kSecret));
    CHECK(auth.Load().ok());
  }
  done = true;
  for (std::thread& caller : callers) caller.join();
  CHECK(refused == 0);
}

}  // namespace sparsed::server
