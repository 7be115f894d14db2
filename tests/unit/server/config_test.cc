#include "server/config.h"

#include <stdlib.h>

#include <vector>

#include "tests/testing/catch.h"

namespace sparsed::server {
namespace {

CommandLine Parse(std::vector<const char*> args) {
  args.insert(args.begin(), "sparsed");
  return ParseCommandLine(static_cast<int>(args.size()), args.data());
}

}  // namespace

TEST_CASE("config: flags, and the folder's name as the model's") {
  const CommandLine line =
      Parse({"serve", "--model", "/usr/lib/", "--threads", "3", "--queue-requests", "8",
             "--queue-requests", "7", "--grpc-address", "[::1]:0"});
  REQUIRE(line.serve.has_value());
  CHECK(line.serve->model_name == "lib");
  CHECK(line.serve->threads == 3);
  CHECK(line.serve->queue_requests == 7);
  CHECK(line.serve->grpc_address == "[::1]:0");
  CHECK(line.serve->admin_address == "127.0.0.1:8002");
}

TEST_CASE("config: a flag goes before its environment variable, that before the default") {
  setenv("SPARSED_MAX_RUNNING", "5", 1);
  setenv("SPARSED_MODEL", "/usr", 1);
  const CommandLine from_environment = Parse({"serve"});
  const CommandLine from_flag = Parse({"serve", "--max-running", "6"});
  setenv("SPARSED_MAX_RUNNING", "none", 1);
  const CommandLine bad = Parse({"serve"});
  unsetenv("SPARSED_MAX_RUNNING");
  unsetenv("SPARSED_MODEL");
  REQUIRE(from_environment.serve.has_value());
  CHECK(from_environment.serve->model_dir == "/usr");
  CHECK(from_environment.serve->max_running == 5);
  REQUIRE(from_flag.serve.has_value());
  CHECK(from_flag.serve->max_running == 6);
  CHECK(bad.exit_code == 2);
}

TEST_CASE("config: every mistake ends with code 2 and names the flag") {
  const std::vector<std::pair<std::vector<const char*>, std::string>> cases = {
      {{"serve"}, "--model"},
      {{"serve", "--model", "/nowhere"}, "--model"},
      {{"serve", "--model", "/usr", "--device", "tpu"}, "--device"},
      {{"serve", "--model", "/usr", "--grpc-address", "8001"}, "--grpc-address"},
      {{"serve", "--model", "/usr", "--admin-address", "localhost:65536"}, "--admin-address"},
      {{"serve", "--model", "/usr", "--max-running", "0"}, "--max-running"},
      {{"serve", "--model", "/usr", "--queue-requests", "-1"}, "--queue-requests"},
      {{"serve", "--model", "/usr", "--max-request-seconds", "nan"}, "--max-request-seconds"},
      {{"serve", "--model", "/usr", "--log-level", "loud"}, "--log-level"},
      {{"serve", "--model", "/usr", "--no-such-flag"}, "--no-such-flag"},
      {{}, "subcommand"},
  };
  for (const auto& [args, names] : cases) {
    const CommandLine line = Parse(args);
    INFO(line.output);
    CHECK_FALSE(line.serve.has_value());
    CHECK(line.exit_code == 2);
    CHECK(line.output.find(names) != std::string::npos);
  }
}

TEST_CASE("config: version and help succeed") {
  const CommandLine version = Parse({"--version"});
  CHECK_FALSE(version.serve.has_value());
  CHECK(version.exit_code == 0);
  CHECK(version.output.rfind("sparsed ", 0) == 0);
  const CommandLine help = Parse({"serve", "--help"});
  CHECK(help.exit_code == 0);
  CHECK(help.output.find("SPARSED_QUEUE_REQUESTS") != std::string::npos);
}

TEST_CASE("config: host and port") {
  REQUIRE(ParseHostPort("0.0.0.0:8001").has_value());
  CHECK(ParseHostPort("0.0.0.0:8001")->port == 8001);
  CHECK(ParseHostPort("[::1]:80")->host == "::1");
  for (const char* bad : {"", ":", "host", "host:", ":80", "host:-1", "host:65536", "::1:80",
                          "host: 80", "[]:80", "host:+80", "host:99999999999"}) {
    INFO(bad);
    CHECK_FALSE(ParseHostPort(bad).has_value());
  }
}

}  // namespace sparsed::server
