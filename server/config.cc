#include "server/config.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <filesystem>
#include <sstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "server/build_info.h"

namespace sparsed::server {
namespace {

CLI::Validator DeviceName() {
  return {[](const std::string& value) {
            static constexpr char kCuda[] = "cuda:";
            const bool numbered =
                value.rfind(kCuda, 0) == 0 && value.size() > sizeof(kCuda) - 1 &&
                value.find_first_not_of("0123456789", sizeof(kCuda) - 1) == std::string::npos;
            const bool known = value == "auto" || value == "cpu" || value == "cuda" || numbered;
            return known ? std::string() : "'" + value + "' is not auto, cpu, cuda or cuda:N";
          },
          "auto|cpu|cuda|cuda:N"};
}

std::string EnvironmentName(const std::string& flag) {
  std::string name = absl::StrCat("SPARSED_", flag.substr(2));
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) {
    return c == '-' ? '_' : static_cast<char>(std::toupper(c));
  });
  return name;
}

std::string CheckHostPort(const std::string& address) {
  if (ParseHostPort(address)) return "";
  return absl::StrCat("'", address, "' is not HOST:PORT with a port of 0 to 65535");
}

constexpr double kMostSeconds = 1e6;

// CLI::Range lets NaN through.
CLI::Validator SecondsFrom(double least) {
  const auto check = [least](const std::string& text) -> std::string {
    double seconds = 0;
    if (absl::SimpleAtod(text, &seconds) && seconds >= least && seconds <= kMostSeconds) return "";
    return absl::StrCat("'", text, "' is not a number of seconds from ", least, " to ",
                        kMostSeconds);
  };
  return CLI::Validator(check, "SECONDS");
}

// The one table of options.
void AddOptions(CLI::App& app, Config& c) {
  const auto add = [&app](const std::string& flag, auto& value, const std::string& help) {
    return app.add_option(flag, value, help)
        ->envname(EnvironmentName(flag))
        ->capture_default_str()
        ->take_last();
  };
  const CLI::Validator host_port(CheckHostPort, "HOST:PORT");
  add("--model", c.model_dir, "Folder of the checkpoint")
      ->required()
      ->check(CLI::ExistingDirectory);
  add("--model-name", c.model_name, "Name of the model in requests; default: the folder's name");
  add("--device", c.device, "Where it runs; auto: a GPU if there is one")->check(DeviceName());
  add("--grpc-address", c.grpc_address, "gRPC listens here; port 0: any")->check(host_port);
  add("--admin-address", c.admin_address, "Metrics and probes (HTTP)")->check(host_port);
  add("--threads", c.threads, "Threads of the CPU backend; 0: all cores")
      ->check(CLI::Range(0, 1024));
  add("--max-running", c.max_running, "Most requests in the batch")->check(CLI::Range(1, 4096));
  add("--queue-requests", c.queue_requests, "Most requests that wait")
      ->check(CLI::Range(1, 1000000));
  add("--queue-tokens", c.queue_tokens, "Most tokens of all that wait")
      ->check(CLI::Range(int64_t{64}, int64_t{1} << 40));
  add("--max-batch-tokens", c.max_batch_tokens, "Most tokens of one step, guided ones twice")
      ->check(CLI::Range(64, 1 << 24));
  add("--max-running-tokens", c.max_running_tokens,
      "Most tokens of all that run, who take turns where a step has fewer")
      ->check(CLI::Range(64, 1 << 26));
  add("--long-share", c.long_share,
      "Least speed of a request with a long context, of what it were if all stepped together; 1: "
      "all do")
      ->check(CLI::Range(0.01, 1.0));
  add("--max-mask-cache-mib", c.max_mask_cache_mib, "Memory for SparseD's patterns, in MiB")
      ->check(CLI::Range(1, 1 << 20));
  add("--max-request-seconds", c.max_request_seconds, "Longest time of a request")
      ->check(SecondsFrom(0.001));
  add("--drain-delay-seconds", c.drain_delay_seconds,
      "After SIGTERM: still accept calls for this long")
      ->check(SecondsFrom(0));
  add("--drain-timeout-seconds", c.drain_timeout_seconds,
      "After that: wait this long for accepted requests")
      ->check(SecondsFrom(0));
  add("--log-level", c.log_level, "Least level to log")
      ->check(CLI::IsMember({"info", "warning", "error"}));
  add("--log-format", c.log_format, "Form of the log on standard error")
      ->check(CLI::IsMember({"json", "text"}));
}

// The last part of the path, also for "nano/" and ".".
std::string FolderName(const std::string& dir) {
  const std::filesystem::path path = std::filesystem::absolute(dir).lexically_normal();
  return path.filename().empty() ? path.parent_path().filename().string()
                                 : path.filename().string();
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

CommandLine ParseCommandLine(int argc, const char* const* argv) {
  CLI::App app("Inference server for diffusion language models", "sparsed");
  app.set_version_flag("--version", absl::StrCat("sparsed ", Version(), " (", Commit(), ")"));
  app.require_subcommand(1);
  Config config;
  CLI::App* serve = app.add_subcommand("serve", "Serve a model over gRPC");
  AddOptions(*serve, config);

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
  if (config.model_name.empty()) config.model_name = FolderName(config.model_dir);
  result.serve = config;
  return result;
}

}  // namespace sparsed::server
