// The settings of `sparsed serve`: flag over environment variable over default. Of a flag that is
// given twice the last one counts.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace sparsed::server {

struct Config {
  std::string model_dir;
  std::string model_name;  // the folder's name unless set
  std::string device = "auto";
  std::string grpc_address = "127.0.0.1:8001";
  std::string admin_address = "127.0.0.1:8002";
  int threads = 0;  // of the CPU backend; 0: all cores
  int64_t max_running = 64;
  int64_t queue_requests = 256;
  int64_t queue_tokens = 1 << 20;
  int64_t max_batch_tokens = 16384;
  int64_t max_running_tokens = 65536;
  double long_share = 0.25;
  int64_t max_mask_cache_mib = 1024;
  double max_request_seconds = 600;
  double drain_delay_seconds = 5;
  double drain_timeout_seconds = 60;
  std::string log_level = "info";
  std::string log_format = "json";

  int64_t max_mask_cache_bytes() const { return max_mask_cache_mib * 1024 * 1024; }
};

struct HostPort {
  std::string host;
  int port = 0;  // 0: any free one
};
// "HOST:PORT" or "[V6]:PORT". Nothing if it is neither.
std::optional<HostPort> ParseHostPort(const std::string& address);

struct CommandLine {
  std::optional<Config> serve;  // to be served; otherwise the process ends now
  int exit_code = 0;            // 0 after --help or --version, 2 after an error
  std::string output;           // for standard output, or for standard error if exit_code is not 0
};
// Reads the arguments and the environment variables SPARSED_<FLAG>. Pure but for the environment.
CommandLine ParseCommandLine(int argc, const char* const* argv);

}  // namespace sparsed::server
