#include "server/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <ctime>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace sparsed::server {
namespace {

// Bytes that are no UTF-8 become U+FFFD instead of an exception.
std::string Dump(const LogFields& value) {
  return value.dump(-1, ' ', true, LogFields::error_handler_t::replace);
}

}  // namespace

std::string LogTime() {
  const auto now = std::chrono::system_clock::now();
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  const int64_t ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count() % 1000;
  std::tm utc = {};
  gmtime_r(&seconds, &utc);
  return absl::StrFormat("%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", utc.tm_year + 1900, utc.tm_mon + 1,
                         utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, ms);
}

struct Log::Sink {
  spdlog::logger logger;
  std::string format;

  void Write(spdlog::level::level_enum level, const std::string& name, const std::string& event,
             const LogFields& fields) {
    if (!logger.should_log(level)) return;
    logger.log(level, spdlog::string_view_t(FormatLogLine(format, LogTime(), name, event, fields)));
  }
};

Log::Log(const std::string& level, const std::string& format)
    : sink_(new Sink{spdlog::logger("sparsed", std::make_shared<spdlog::sinks::stderr_sink_mt>()),
                     format}) {
  sink_->logger.set_pattern("%v");
  sink_->logger.set_level(spdlog::level::from_str(level));
  sink_->logger.flush_on(spdlog::level::info);
}
Log::~Log() = default;

void Log::SetLevel(const std::string& level) {
  sink_->logger.set_level(spdlog::level::from_str(level));
}

void Log::Info(const std::string& event, const LogFields& fields) const {
  sink_->Write(spdlog::level::info, "info", event, fields);
}
void Log::Warning(const std::string& event, const LogFields& fields) const {
  sink_->Write(spdlog::level::warn, "warning", event, fields);
}
void Log::Error(const std::string& event, const LogFields& fields) const {
  sink_->Write(spdlog::level::err, "error", event, fields);
}

std::string FormatLogLine(const std::string& format, const std::string& time,
                          const std::string& level, const std::string& event,
                          const LogFields& fields) {
  if (format == "text") {
    std::string line = absl::StrCat(time, " ", level, " ", event);
    for (const auto& [key, value] : fields.items()) {
      absl::StrAppend(&line, " ", key, "=", Dump(value));
    }
    return line;
  }
  std::string message = event;
  std::replace(message.begin(), message.end(), '_', ' ');
  LogFields line = {{"ts", time}, {"level", level}, {"event", event}, {"msg", message}};
  if (fields.is_object()) line.update(fields);
  return Dump(line);
}

}  // namespace sparsed::server
