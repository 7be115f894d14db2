#include "server/config.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/build_info.h"
#include "server/options.h"
#include "server/settings.h"
#include "server/tls_files.h"
#include "server/token_file.h"

namespace sparsed::server {
namespace {

// What CLI11 found, before any of it is understood.
struct Arguments {
  std::map<std::string, std::string> texts;  // of all options; which of them were given: below
  std::map<std::string, CLI::Option*> parsed;
  std::string config_file;
  bool print = false;
  bool check = false;
  bool schema = false;
  std::string model_dir;
  PlanRequest wanted;
  CLI::App* serve = nullptr;
  CLI::App* options = nullptr;
  CLI::App* check_model = nullptr;
  CLI::App* plan = nullptr;
};

void AddPlan(CLI::App& app, Arguments& arguments) {
  PlanRequest& wanted = arguments.wanted;
  arguments.plan = app.add_subcommand(
      "plan", "Say what memory and settings a server needs, without loading the model");
  CLI::App& plan = *arguments.plan;
  plan.add_option("--model", wanted.model_dir, "Folder of the checkpoint")
      ->type_name("DIR")
      ->required();
  plan.add_option("--context", wanted.context, "Tokens of a request, prompt and canvas")
      ->type_name("N")
      ->check(CLI::Range(int64_t{2}, kMostBatchTokens))
      ->required();
  plan.add_option("--requests", wanted.requests, "So many run at once (default 1)")
      ->type_name("N")
      ->check(CLI::Range(int64_t{1}, kMostRunning));
  plan.add_option("--memory-mib", wanted.memory_mib,
                  "Of a device: say also how many requests of each length fit")
      ->type_name("N")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 32));
}

void AddFlags(CLI::App& app, Arguments& arguments) {
  arguments.serve = app.add_subcommand("serve", "Serve a model over gRPC");
  CLI::App& serve = *arguments.serve;
  for (const Option& option : Options()) {
    std::string& text = arguments.texts[option.name];
    const std::string help = absl::StrCat(option.help, " (env ", option.environment(), ")");
    CLI::Option* added = nullptr;
    if (option.kind == Option::Kind::kSwitch) {
      added = serve.add_flag(
          absl::StrCat("--", option.name, "{true},--no-", option.name, "{false}"), text, help);
    } else {
      added = serve.add_option(option.flag(), text, help)->type_name(option.values);
    }
    added->take_last()->default_str(option.default_text());
    arguments.parsed[option.name] = added;
  }
  serve.add_option("--config", arguments.config_file, "Settings as a JSON object; flags go before")
      ->type_name("FILE")
      ->take_last();
  serve.add_flag("--print-config", arguments.print,
                 "Print the settings and their sources, and exit");
  serve.add_flag("--check-config", arguments.check,
                 "Check the settings, and exit: 0, or 2 if wrong");
  arguments.options = app.add_subcommand("options", "Print the table of settings as Markdown");
  arguments.check_model = app.add_subcommand(
      "check-model",
      "Describe a model's folder without loading it; 0, or 2 if it cannot be served");
  arguments.check_model->add_option("DIR", arguments.model_dir, "The folder")->required();
  arguments.options->add_flag("--schema", arguments.schema, "A JSON schema of the file instead");
  AddPlan(app, arguments);
}

// The last part of the path, also for "nano/" and ".".
std::string FolderName(const std::string& dir) {
  const std::filesystem::path path = std::filesystem::absolute(dir).lexically_normal();
  return path.filename().empty() ? path.parent_path().filename().string()
                                 : path.filename().string();
}

// What is wrong with settings that are each right, and with the files that they name.
std::vector<std::string> CheckTogether(const Config& config) {
  std::vector<std::string> errors;
  if (config.model_dir.empty()) errors.push_back("--model is required");
  if (config.weights == kInt8Weights && config.device.rfind("cuda", 0) == 0) {
    errors.push_back(absl::StrCat("--weights: int8 is for the CPU, --device is ", config.device));
  }
  if (config.tls_cert.empty() != config.tls_key.empty()) {
    errors.push_back("--tls-cert and --tls-key must be given together");
  } else if (!config.tls_cert.empty()) {
    const absl::Status tls = CheckTlsFiles(config.tls_cert, config.tls_key, config.tls_client_ca);
    if (!tls.ok()) errors.push_back(std::string(tls.message()));
  }
  if (!config.tls_client_ca.empty() && config.tls_cert.empty()) {
    errors.push_back("--tls-client-ca needs --tls-cert and --tls-key");
  }
  std::vector<std::string> open_addresses;  // that others than this machine reach, without TLS
  if (!config.auth_token_file.empty()) {
    const auto tokens = ReadTokenFile(config.auth_token_file);
    if (!tokens.ok()) {
      errors.push_back(absl::StrCat("--auth-token-file: ", tokens.status().message()));
    }
    if (config.tls_cert.empty() && !IsLoopback(ParseHostPort(config.grpc_address)->host)) {
      open_addresses.push_back(config.grpc_address);
    }
    if (const auto http = ParseHostPort(config.http_address); http && !IsLoopback(http->host)) {
      open_addresses.push_back(config.http_address);
    }
  }
  for (const std::string& address : open_addresses) {
    if (config.insecure_allow_plaintext_tokens) break;
    errors.push_back(
        absl::StrCat("--auth-token-file: tokens would cross the network in clear text to ", address,
                     address == config.grpc_address ? "; use --tls-cert, or" : "; use",
                     " --insecure-allow-plaintext-tokens"));
  }
  if (config.playground && config.http_address.empty()) {
    errors.push_back("--playground needs --http-address");
  }
  if (!config.http_address.empty() && !config.tls_client_ca.empty() &&
      config.auth_token_file.empty()) {
    errors.push_back(
        "--http-address: knows no certificates of clients, as --tls-client-ca asks for; use "
        "--auth-token-file");
  }
  return errors;
}

Settings Resolve(const Arguments& arguments) {
  std::map<std::string, std::string> flags;
  for (const auto& [name, option] : arguments.parsed) {
    if (option->count() > 0) flags[name] = arguments.texts.at(name);
  }
  std::string path = arguments.config_file;
  const char* variable = std::getenv("SPARSED_CONFIG");
  if (path.empty() && variable != nullptr) path = variable;
  std::optional<std::string> file;
  if (!path.empty()) {
    std::ifstream in(path, std::ios::binary);
    // An unreadable file is one that is no JSON.
    file.emplace(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  }
  Settings settings = ResolveSettings(
      flags, [](const std::string& name) { return std::getenv(name.c_str()); }, file, path);
  for (std::string& error : CheckTogether(settings.config)) {
    settings.errors.push_back(std::move(error));
  }
  if (settings.config.model_name.empty() && !settings.config.model_dir.empty()) {
    settings.config.model_name = FolderName(settings.config.model_dir);
  }
  return settings;
}

}  // namespace

std::optional<HostPort> ParseHostPort(const std::string& address) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos || colon == 0) return std::nullopt;
  HostPort result;
  result.host = address.substr(0, colon);
  const bool bracketed = result.host.front() == '[' && result.host.back() == ']';
  if (bracketed) result.host = result.host.substr(1, result.host.size() - 2);
  if (!bracketed && result.host.find(':') != std::string::npos) return std::nullopt;
  const std::string digits = address.substr(colon + 1);
  const bool all_digits = std::all_of(digits.begin(), digits.end(),
                                      [](unsigned char c) { return std::isdigit(c) != 0; });
  if (result.host.empty() || digits.empty() || !all_digits) return std::nullopt;
  if (!absl::SimpleAtoi(digits, &result.port) || result.port > 65535) return std::nullopt;
  return result;
}

bool IsLoopback(const std::string& host) {
  if (host == "localhost" || host == "::1") return true;
  return host.rfind("127.", 0) == 0 && host.find_first_not_of("0123456789.") == std::string::npos;
}

CommandLine ParseCommandLine(int argc, const char* const* argv) {
  CLI::App app("Inference server for diffusion language models", "sparsed");
  app.set_version_flag("--version", absl::StrCat("sparsed ", Version(), " (", Commit(), ")"));
  app.require_subcommand(1);
  Arguments arguments;
  AddFlags(app, arguments);

  CommandLine result;
  // CLI11 reports by exceptions and has no other interface; they end here.
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::ostringstream out;
    std::ostringstream err;
    result.exit_code = app.exit(error, out, err) == 0 ? 0 : 2;
    result.output = result.exit_code == 0 ? out.str() : err.str();
    return result;
  }
  if (arguments.options->parsed()) {
    result.output = arguments.schema ? OptionsSchema() : OptionsMarkdown();
    return result;
  }
  if (arguments.check_model->parsed()) {
    result.check_model = arguments.model_dir;
    return result;
  }
  if (arguments.plan->parsed()) {
    result.plan = arguments.wanted;
    return result;
  }
  const Settings settings = Resolve(arguments);
  if (!settings.errors.empty()) {
    result.exit_code = 2;
    result.output = absl::StrCat("sparsed: ", absl::StrJoin(settings.errors, "\nsparsed: "), "\n");
  } else if (arguments.print) {
    result.output = PrintSettings(settings);
  } else if (arguments.check) {
    result.output = "the settings are right\n";
  } else {
    result.serve = settings.config;
  }
  return result;
}

}  // namespace sparsed::server
