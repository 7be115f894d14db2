#include "server/options.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace sparsed::server {
namespace {

using Kind = Option::Kind;
using Check = std::function<std::string(const std::string&)>;

constexpr int64_t kMostSeconds = 1000000;

Option Text(const char* name, std::string Config::*field, const char* values, const char* help,
            Check check) {
  Option option;
  option.name = name;
  option.kind = Kind::kText;
  option.values = values;
  option.help = help;
  option.set = [field, check = std::move(check)](const std::string& text, Config& config) {
    std::string wrong = check(text);
    if (wrong.empty()) config.*field = text;
    return wrong;
  };
  option.get = [field](const Config& config) { return config.*field; };
  return option;
}

Option Integer(const char* name, int64_t Config::*field, int64_t least, int64_t most,
               const char* help) {
  Option option;
  option.name = name;
  option.kind = Kind::kInteger;
  option.values = absl::StrCat(least, " to ", most);
  option.help = help;
  option.set = [field, least, most](const std::string& text, Config& config) -> std::string {
    int64_t value = 0;
    if (absl::SimpleAtoi(text, &value) && value >= least && value <= most) {
      config.*field = value;
      return "";
    }
    return absl::StrCat("'", text, "' is not an integer from ", least, " to ", most);
  };
  option.get = [field](const Config& config) { return config.*field; };
  return option;
}

// what: "a number" or the like, for the message.
Option Number(const char* name, double Config::*field, double least, int64_t most, const char* what,
              const char* help) {
  Option option;
  option.name = name;
  option.kind = Kind::kNumber;
  option.values = absl::StrCat(least, " to ", most);
  option.help = help;
  option.set = [field, least, most, what](const std::string& text, Config& config) -> std::string {
    double value = 0;
    // Written so that NaN fails.
    if (absl::SimpleAtod(text, &value) && value >= least && value <= most) {
      config.*field = value;
      return "";
    }
    return absl::StrCat("'", text, "' is not ", what, " from ", least, " to ", most);
  };
  option.get = [field](const Config& config) { return config.*field; };
  return option;
}

Option SecondsOption(const char* name, double Config::*field, double least, const char* help) {
  return Number(name, field, least, kMostSeconds, "a number of seconds", help);
}

Option Switch(const char* name, bool Config::*field, const char* help) {
  Option option;
  option.name = name;
  option.kind = Kind::kSwitch;
  option.values = "true, false";
  option.help = help;
  option.set = [field](const std::string& text, Config& config) -> std::string {
    if (text != "true" && text != "false") return absl::StrCat("'", text, "' is not true or false");
    config.*field = text == "true";
    return "";
  };
  option.get = [field](const Config& config) { return config.*field; };
  return option;
}

Option Secret(Option option) {
  option.secret = true;
  return option;
}

std::string Anything(const std::string&) { return ""; }

std::string IsFolder(const std::string& path) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) return "";
  return absl::StrCat("'", path, "' is no folder");
}

std::string IsFile(const std::string& path) {
  std::error_code error;
  if (path.empty() || std::filesystem::is_regular_file(path, error)) return "";
  return absl::StrCat("'", path, "' is no file");
}

std::string IsHostPort(const std::string& address) {
  if (ParseHostPort(address)) return "";
  return absl::StrCat("'", address, "' is not HOST:PORT with a port of 0 to 65535");
}

std::string IsHostPortOrNothing(const std::string& address) {
  return address.empty() ? "" : IsHostPort(address);
}

std::string IsDevice(const std::string& value) {
  static constexpr char kCuda[] = "cuda:";
  const std::string number = value.rfind(kCuda, 0) == 0 ? value.substr(sizeof(kCuda) - 1) : "";
  const bool numbered =
      !number.empty() && number.find_first_not_of("0123456789") == std::string::npos;
  if (value == "auto" || value == "cpu" || value == "cuda" || numbered) return "";
  return absl::StrCat("'", value, "' is not auto, cpu, cuda or cuda:N");
}

Check OneOf(std::vector<std::string> values) {
  return [values = std::move(values)](const std::string& value) -> std::string {
    if (std::count(values.begin(), values.end(), value) > 0) return "";
    return absl::StrCat("'", value, "' is none of ", absl::StrJoin(values, ", "));
  };
}

std::vector<Option> ModelOptions() {
  using C = Config;
  return {
      Text("model", &C::model_dir, "DIR",
           "Folder of the checkpoint: config.json, tokenizer.json, safetensors", IsFolder),
      Text("model-name", &C::model_name, "NAME",
           "Name of the model in requests; empty: the folder's", Anything),
      Text("device", &C::device, "auto, cpu, cuda, cuda:N",
           "Where it runs; auto: a GPU if there is one", IsDevice),
      Integer("threads", &C::threads, 0, 1024, "Threads of the CPU backend; 0: all cores"),
      Text("weights", &C::weights, "full, int8",
           "How linear layers are held; int8: on a CPU only, in a quarter of the memory, a little "
           "less exact",
           OneOf({kFullWeights, kInt8Weights})),
  };
}

std::vector<Option> SurfaceOptions() {
  using C = Config;
  return {
      Text("grpc-address", &C::grpc_address, "HOST:PORT", "gRPC listens here; port 0: any free one",
           IsHostPort),
      Text("admin-address", &C::admin_address, "HOST:PORT", "Metrics and probes over HTTP",
           IsHostPort),
      Text("http-address", &C::http_address, "HOST:PORT",
           "OpenAI's interface over HTTP, without TLS; empty: none", IsHostPortOrNothing),
      Switch("playground", &C::playground,
             "Serve a page for browsers at / of --http-address, which it needs"),
      Switch("reflection", &C::reflection, "Describe the services to clients that ask"),
      Text("tls-cert", &C::tls_cert, "FILE",
           "Certificate chain (PEM); makes the gRPC port TLS; read again when it changes", IsFile),
      Secret(Text("tls-key", &C::tls_key, "FILE", "Private key of the certificate (PEM)", IsFile)),
      Text("tls-client-ca", &C::tls_client_ca, "FILE",
           "Authority (PEM) that clients must have a certificate of", IsFile),
      Secret(
          Text("auth-token-file", &C::auth_token_file, "FILE",
               "Lines NAME:SHA256[:MODEL,MODEL] of the bearer tokens that are let in; read again "
               "when it changes",
               IsFile)),
      Switch("insecure-allow-plaintext-tokens", &C::insecure_allow_plaintext_tokens,
             "Take tokens without TLS although others than this machine may connect"),
      Switch(
          "enable-inspection", &C::enable_inspection,
          "Offer sparsed.v1.InspectionService: patterns of requests; inspected steps take longer"),
  };
}

std::vector<Option> RequestOptions() {
  using C = Config;
  return {
      Integer("max-running", &C::max_running, 1, kMostRunning, "Most requests in the batch"),
      Integer("queue-requests", &C::queue_requests, 1, 1000000,
              "Most requests that wait; one more is refused"),
      Integer("queue-tokens", &C::queue_tokens, 64, int64_t{1} << 40,
              "Most tokens of all that wait"),
      Integer("max-batch-tokens", &C::max_batch_tokens, 64, kMostBatchTokens,
              "Most tokens of one step; guided requests count twice"),
      Integer("max-running-tokens", &C::max_running_tokens, 64, kMostRunningTokens,
              "Most tokens of all that run; where a step holds fewer they take turns"),
      Number("long-share", &C::long_share, 0.01, 1, "a number",
             "Least speed of a long request beside short ones, of what it were if all stepped "
             "together; 1: all do"),
      Integer("max-mask-cache-mib", &C::max_mask_cache_mib, 1, 1 << 20,
              "Memory for SparseD's patterns, in MiB"),
      Integer("max-inspection-mib", &C::max_inspection_mib, 1, 1 << 20,
              "Memory for what inspections return, in MiB"),
      SecondsOption("max-request-seconds", &C::max_request_seconds, 0.001,
                    "Longest time of a request, where the client sets no earlier deadline"),
      SecondsOption("slow-client-seconds", &C::slow_client_seconds, 0.1,
                    "A stream whose client leaves text unread for this long is ended"),
      SecondsOption(
          "stall-seconds", &C::stall_seconds, 0.1,
          "A step without an end for this long makes the server not ready; more for long steps"),
  };
}

std::vector<Option> ConnectionOptions() {
  using C = Config;
  return {
      Integer("max-message-mib", &C::max_message_mib, 1, 1024, "Largest request, in MiB"),
      Integer("max-concurrent-streams", &C::max_concurrent_streams, 1, 1000000,
              "Most calls at a time on one connection"),
      Integer("grpc-memory-mib", &C::grpc_memory_mib, 16, 1 << 20,
              "Memory that connections may take for their buffers, in MiB"),
      SecondsOption("keepalive-seconds", &C::keepalive_seconds, 1,
                    "A connection that is silent for this long is asked for a sign of life"),
      SecondsOption("keepalive-timeout-seconds", &C::keepalive_timeout_seconds, 1,
                    "It is closed when none comes within this time"),
      SecondsOption("max-connection-idle-seconds", &C::max_connection_idle_seconds, 1,
                    "A connection without calls is closed after this time"),
      SecondsOption("max-connection-age-seconds", &C::max_connection_age_seconds, 1,
                    "Any connection is asked to reconnect after this time"),
      SecondsOption("handshake-timeout-seconds", &C::handshake_timeout_seconds, 0.1,
                    "A new connection must have begun to speak HTTP/2 within this time"),
  };
}

std::vector<Option> ProcessOptions() {
  using C = Config;
  return {
      SecondsOption("drain-delay-seconds", &C::drain_delay_seconds, 0,
                    "After SIGTERM: still accept calls for this long"),
      SecondsOption("drain-timeout-seconds", &C::drain_timeout_seconds, 0,
                    "After that: wait this long for accepted requests"),
      Text("log-level", &C::log_level, "info, warning, error", "Least level to log",
           OneOf({"info", "warning", "error"})),
      Text("log-format", &C::log_format, "json, text", "Form of the log on standard error",
           OneOf({"json", "text"})),
  };
}

}  // namespace

std::string Option::file_key() const {
  std::string key = name;
  std::replace(key.begin(), key.end(), '-', '_');
  return key;
}

std::string Option::environment() const {
  std::string key = absl::StrCat("SPARSED_", file_key());
  std::transform(key.begin(), key.end(), key.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return key;
}

std::string Option::default_text() const {
  const nlohmann::ordered_json value = get(Config());
  if (value.is_number_float()) return absl::StrCat(value.get<double>());
  return value.is_string() ? value.get<std::string>() : value.dump();
}

std::vector<Option> Options() {
  std::vector<Option> all;
  const auto add = [&all](const char* group, std::vector<Option> options) {
    for (Option& option : options) {
      option.group = group;
      all.push_back(std::move(option));
    }
  };
  add("Model", ModelOptions());
  add("Ports, TLS and tokens", SurfaceOptions());
  add("Requests", RequestOptions());
  add("Connections", ConnectionOptions());
  add("Stopping and logging", ProcessOptions());
  return all;
}

}  // namespace sparsed::server
