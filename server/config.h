// The settings of `sparsed serve`: flag over environment variable over --config FILE over default.
// Of a flag that is given twice the last one counts.
// Next: server/options.h (the table of them all)
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace sparsed::server {

inline constexpr char kFullWeights[] = "full";
inline constexpr char kInt8Weights[] = "int8";

struct Config {
  std::string model_dir;
  std::string model_name;  // the folder's name unless set
  std::string device = "auto";
  int64_t threads = 0;  // of the CPU backend; 0: all cores
  std::string weights = kFullWeights;

  std::string grpc_address = "127.0.0.1:8001";
  std::string admin_address = "127.0.0.1:8002";
  std::string http_address;  // of OpenAI's interface; empty: none
  bool playground = false;
  bool reflection = true;
  std::string tls_cert;       // PEM files; a certificate makes it TLS
  std::string tls_key;        // of the certificate
  std::string tls_client_ca;  // clients need a certificate of this authority
  std::string auth_token_file;
  bool insecure_allow_plaintext_tokens = false;
  bool enable_inspection = false;

  int64_t max_running = 64;
  int64_t queue_requests = 256;
  int64_t queue_tokens = 1 << 20;
  int64_t max_batch_tokens = 16384;
  int64_t max_running_tokens = 65536;
  double long_share = 0.25;
  int64_t max_mask_cache_mib = 1024;
  int64_t max_inspection_mib = 256;
  double max_request_seconds = 600;
  double slow_client_seconds = 30;
  double stall_seconds = 10;

  int64_t max_message_mib = 4;
  int64_t max_concurrent_streams = 1024;
  int64_t grpc_memory_mib = 512;
  double keepalive_seconds = 60;
  double keepalive_timeout_seconds = 20;
  double max_connection_idle_seconds = 300;
  double max_connection_age_seconds = 1800;
  double handshake_timeout_seconds = 20;

  double drain_delay_seconds = 5;
  double drain_timeout_seconds = 60;
  std::string log_level = "info";
  std::string log_format = "json";

  int64_t max_mask_cache_bytes() const { return max_mask_cache_mib << 20; }
  int64_t max_inspection_bytes() const { return max_inspection_mib << 20; }
  int64_t max_message_bytes() const { return max_message_mib << 20; }
};

// The most that --max-running and --max-running-tokens take.
inline constexpr int64_t kMostRunning = 4096;
inline constexpr int64_t kMostRunningTokens = 1 << 26;
// The most that --max-batch-tokens takes.
inline constexpr int64_t kMostBatchTokens = 1 << 24;

// What `sparsed plan` is asked.
struct PlanRequest {
  std::string model_dir;
  int64_t context = 0;     // tokens of a request, prompt and canvas
  int64_t requests = 1;    // at once
  int64_t memory_mib = 0;  // of a device; 0: it is not asked what fits
};

struct HostPort {
  std::string host;
  int port = 0;  // 0: any free one
};
// "HOST:PORT" or "[V6]:PORT". Nothing if it is neither.
std::optional<HostPort> ParseHostPort(const std::string& address);
// localhost, 127.0.0.0/8 or ::1, by its name alone.
bool IsLoopback(const std::string& host);

struct CommandLine {
  std::optional<Config> serve;      // to be served; otherwise the process ends now
  std::string check_model;          // after looking at this folder, if there is one
  std::optional<PlanRequest> plan;  // or after this
  int exit_code = 0;                // 0 after --help or --check-config, 2 after an error
  std::string output;  // for standard output, or for standard error if exit_code is not 0
};
// Reads the arguments, the environment variables SPARSED_<FLAG> and the files that they name; the
// environment is what getenv is asked for.
CommandLine ParseCommandLine(int argc, const char* const* argv);

}  // namespace sparsed::server
