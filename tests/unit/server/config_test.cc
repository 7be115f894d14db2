#include "server/config.h"

#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include "server/options.h"
#include "server/settings.h"
#include "tests/testing/catch.h"

namespace sparsed::server {
namespace {

CommandLine Parse(std::vector<const char*> args) {
  args.insert(args.begin(), "sparsed");
  return ParseCommandLine(static_cast<int>(args.size()), args.data());
}

// Settings from texts alone; the environment has one variable.
Settings Resolve(const std::map<std::string, std::string>& flags, const std::string& variable,
                 const std::string& value, const std::optional<std::string>& file) {
  return ResolveSettings(
      flags,
      [&](const std::string& name) -> const char* {
        return name == variable ? value.c_str() : nullptr;
      },
      file, "f.json");
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

TEST_CASE("config: int8 weights where there may be a CPU") {
  CHECK(Parse({"serve", "--model", "/usr"}).serve->weights == kFullWeights);
  for (const char* device : {"auto", "cpu"}) {
    const CommandLine line =
        Parse({"serve", "--model", "/usr", "--weights", "int8", "--device", device});
    INFO(line.output);
    REQUIRE(line.serve.has_value());
    CHECK(line.serve->weights == kInt8Weights);
  }
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
      {{"serve", "--model", "/usr", "--weights", "int4"},
       "--weights: 'int4' is none of full, int8"},
      {{"serve", "--model", "/usr", "--weights", "int8", "--device", "cuda"},
       "--weights: int8 is for the CPU, --device is cuda"},
      {{"serve", "--model", "/usr", "--weights", "int8", "--device", "cuda:1"}, "--weights"},
      {{"serve", "--model", "/usr", "--grpc-address", "8001"}, "--grpc-address"},
      {{"serve", "--model", "/usr", "--admin-address", "localhost:65536"}, "--admin-address"},
      {{"serve", "--model", "/usr", "--max-running", "0"}, "--max-running"},
      {{"serve", "--model", "/usr", "--queue-requests", "-1"}, "--queue-requests"},
      {{"serve", "--model", "/usr", "--max-request-seconds", "nan"}, "--max-request-seconds"},
      {{"serve", "--model", "/usr", "--log-level", "loud"}, "--log-level"},
      {{"serve", "--model", "/usr", "--no-such-flag"}, "--no-such-flag"},
      {{"serve", "--model", "/usr", "--reflection=maybe"}, "--reflection"},
      {{"serve", "--model", "/usr", "--config", "/nowhere.json"}, "/nowhere.json"},
      {{"serve", "--model", "/usr", "--tls-cert", "/etc/passwd"}, "--tls-key"},
      {{"serve", "--model", "/usr", "--tls-key", "/etc/passwd"}, "--tls-cert"},
      {{"serve", "--model", "/usr", "--tls-cert", "/etc/passwd", "--tls-key", "/etc/passwd"},
       "--tls-cert"},
      {{"serve", "--model", "/usr", "--tls-client-ca", "/etc/passwd"}, "--tls-client-ca"},
      {{"serve", "--model", "/usr", "--auth-token-file", "/etc/passwd"}, "line 1"},
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

TEST_CASE("config: all mistakes are told at once") {
  const CommandLine line = Parse(
      {"serve", "--queue-requests", "0", "--log-format", "xml", "--drain-delay-seconds", "x"});
  CHECK(line.exit_code == 2);
  for (const char* flag :
       {"--model", "--queue-requests", "--log-format", "--drain-delay-seconds"}) {
    INFO(flag << " in " << line.output);
    CHECK(line.output.find(flag) != std::string::npos);
  }
}

TEST_CASE("config: flag over environment over file over default, for every option") {
  for (const Option& option : Options()) {
    INFO(option.name);
    // A value that each kind takes and no default is.
    std::string text;
    switch (option.kind) {
      case Option::Kind::kText:
        text = option.name == "model"         ? "/usr"
               : option.values == "HOST:PORT" ? "h:1"
               : option.values == "FILE"      ? "/etc/passwd"
               : option.values == "NAME"      ? "n"
               : option.name == "device"      ? "cpu"
               : option.name == "weights"     ? "int8"
               : option.name == "log-level"   ? "error"
                                              : "text";
        break;
      case Option::Kind::kInteger:
        text = "77";
        break;
      case Option::Kind::kNumber:
        text = option.values == "0.01 to 1" ? "0.5" : "77.5";
        break;
      case Option::Kind::kSwitch:
        text = option.get(Config()) == true ? "false" : "true";
        break;
    }
    const bool quoted = option.kind == Option::Kind::kText;
    const std::string file =
        "{\"" + option.file_key() + "\": " + (quoted ? "\"" + text + "\"" : text) + "}";
    const nlohmann::ordered_json unset = option.get(Config());

    const Settings none = Resolve({}, "", "", "{}");
    CHECK(none.errors.empty());
    CHECK(none.sources.at(option.name) == Source::kDefault);
    CHECK(option.get(none.config) == unset);
    const Settings from_file = Resolve({}, "", "", file);
    CHECK(from_file.errors.empty());
    CHECK(from_file.sources.at(option.name) == Source::kFile);
    CHECK(option.get(from_file.config) != unset);
    // A better source hides what is wrong with a worse one.
    const Settings from_environment = Resolve({}, option.environment(), text, "{}");
    CHECK(from_environment.errors.empty());
    CHECK(from_environment.sources.at(option.name) == Source::kEnvironment);
    CHECK(option.get(from_environment.config) == option.get(from_file.config));
    const Settings from_flag = Resolve({{option.name, text}}, option.environment(), "?!", file);
    CHECK(from_flag.errors.empty());
    CHECK(from_flag.sources.at(option.name) == Source::kFlag);
    CHECK(option.get(from_flag.config) == option.get(from_file.config));
    // An empty variable is none.
    CHECK(Resolve({}, option.environment(), "", file).sources.at(option.name) == Source::kFile);
  }
}

TEST_CASE("config: what is wrong with a file is named") {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "f.json"},
      {"[]", "f.json"},
      {"{\"queue_requests\": 1", "f.json"},
      {R"({"queue_request": 1})", "'queue_request'"},
      {R"({"queue-requests": 1})", "'queue-requests'"},
      {R"({"model": 1})", "model: is not a string"},
      {R"({"queue_requests": "1"})", "queue_requests: is not an integer"},
      {R"({"queue_requests": 1.5})", "queue_requests: is not an integer"},
      {R"({"queue_requests": null})", "queue_requests: is not an integer"},
      {R"({"queue_requests": 0})", "queue_requests in f.json"},
      {R"({"drain_delay_seconds": "1"})", "drain_delay_seconds: is not a number"},
      {R"({"reflection": 1})", "reflection: is not true or false"},
      {R"({"config": "other.json"})", "'config'"},
  };
  for (const auto& [file, names] : cases) {
    const Settings settings = Resolve({}, "", "", file);
    INFO(file);
    REQUIRE(settings.errors.size() == 1);
    INFO(settings.errors[0]);
    CHECK(settings.errors[0].find(names) != std::string::npos);
  }
}

TEST_CASE("config: printing shows values and sources, and hides the paths of secrets") {
  const Settings settings = Resolve({{"queue-requests", "9"}, {"tls-key", "/etc/passwd"}},
                                    "SPARSED_LOG_LEVEL", "error", R"({"reflection": false})");
  REQUIRE(settings.errors.empty());
  const std::string text = PrintSettings(settings);
  CHECK(text.find("passwd") == std::string::npos);
  const auto printed = nlohmann::json::parse(text, nullptr, false);
  REQUIRE(printed.is_object());
  CHECK(printed.size() == Options().size());
  CHECK(printed["queue_requests"]["value"] == 9);
  CHECK(printed["queue_requests"]["source"] == "flag");
  CHECK(printed["log_level"]["source"] == "environment");
  CHECK(printed["reflection"]["value"] == false);
  CHECK(printed["reflection"]["source"] == "file");
  CHECK(printed["max_running"]["source"] == "default");
  CHECK(printed["auth_token_file"]["value"] == "");
}

TEST_CASE("config: check-model takes a folder") {
  const CommandLine line = Parse({"check-model", "models/x"});
  CHECK(line.check_model == "models/x");
  CHECK_FALSE(line.serve.has_value());
  CHECK(Parse({"check-model"}).exit_code == 2);
  CHECK(Parse({"check-model", "a", "b"}).exit_code == 2);
}

TEST_CASE("config: plan takes a model, a length and how many") {
  const CommandLine line = Parse({"plan", "--model", "models/x", "--context", "4096", "--requests",
                                  "8", "--memory-mib", "81920"});
  REQUIRE(line.plan.has_value());
  CHECK(line.plan->model_dir == "models/x");
  CHECK(line.plan->context == 4096);
  CHECK(line.plan->requests == 8);
  CHECK(line.plan->memory_mib == 81920);
  CHECK(Parse({"plan", "--model", "x", "--context", "64"}).plan->requests == 1);
  CHECK(Parse({"plan", "--model", "x"}).exit_code == 2);
  CHECK(Parse({"plan", "--context", "64"}).exit_code == 2);
  CHECK(Parse({"plan", "--model", "x", "--context", "1"}).exit_code == 2);
  CHECK(Parse({"plan", "--model", "x", "--context", "64", "--requests", "4097"}).exit_code == 2);
}

TEST_CASE("config: --print-config and --check-config end the program") {
  const CommandLine checked = Parse({"serve", "--model", "/usr", "--check-config"});
  CHECK_FALSE(checked.serve.has_value());
  CHECK(checked.exit_code == 0);
  CHECK(Parse({"serve", "--check-config"}).exit_code == 2);
  const CommandLine printed =
      Parse({"serve", "--model", "/usr", "--no-reflection", "--print-config"});
  CHECK_FALSE(printed.serve.has_value());
  CHECK(printed.exit_code == 0);
  CHECK(nlohmann::json::parse(printed.output)["reflection"]["value"] == false);
}

TEST_CASE("config: the page of settings is what the table says") {
  std::ifstream in(SPARSED_DOCS_DIR "/configuration.md", std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  INFO("sparsed options > docs/configuration.md");
  CHECK((text == OptionsMarkdown()));
  const auto schema = nlohmann::json::parse(OptionsSchema(), nullptr, false);
  CHECK(schema["properties"].size() == Options().size());
  CHECK(schema["properties"]["queue_requests"]["type"] == "integer");
}

TEST_CASE("config: tokens in clear text stay on this machine") {
  const std::filesystem::path tokens =
      std::filesystem::temp_directory_path() / ("tokens-" + std::to_string(getpid()));
  std::ofstream(tokens) << "someone:" << std::string(64, 'a') << "\n";
  const std::string path = tokens.string();
  const auto with = [&path](const char* address, std::vector<const char*> more = {}) {
    std::vector<const char*> args = {"serve",      "--model",        "/usr", "--auth-token-file",
                                     path.c_str(), "--grpc-address", address};
    args.insert(args.end(), more.begin(), more.end());
    return Parse(args);
  };
  CHECK(with("127.0.0.1:0").serve.has_value());
  CHECK(with("[::1]:0").serve.has_value());
  CHECK(with("localhost:0").serve.has_value());
  for (const char* open : {"0.0.0.0:0", "[::]:0", "10.0.0.1:0", "127.example.org:0"}) {
    const CommandLine refused = with(open);
    INFO(open << " " << refused.output);
    CHECK(refused.exit_code == 2);
    CHECK(refused.output.find("--insecure-allow-plaintext-tokens") != std::string::npos);
    CHECK(with(open, {"--insecure-allow-plaintext-tokens"}).serve.has_value());
    // By HTTP there is no other way.
    const CommandLine http = with("127.0.0.1:0", {"--http-address", open});
    CHECK(http.exit_code == 2);
    CHECK(http.output.find(open) != std::string::npos);
    CHECK(with("127.0.0.1:0", {"--http-address", open, "--insecure-allow-plaintext-tokens"})
              .serve.has_value());
  }
  CHECK(with("127.0.0.1:0", {"--http-address", "127.0.0.1:0"}).serve.has_value());
  std::filesystem::remove(tokens);
}

TEST_CASE("config: the playground needs the port that it is served at") {
  const CommandLine alone = Parse({"serve", "--model", "/usr", "--playground"});
  CHECK(alone.exit_code == 2);
  CHECK(alone.output.find("--playground needs --http-address") != std::string::npos);
  const CommandLine both =
      Parse({"serve", "--model", "/usr", "--playground", "--http-address", "127.0.0.1:0"});
  REQUIRE(both.serve.has_value());
  CHECK(both.serve->playground);
  CHECK_FALSE(Config().playground);
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
