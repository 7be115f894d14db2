#include "server/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "server/repeat_limit.h"

namespace sparsed::server {
namespace {

// Bytes that are no UTF-8 become U+FFFD instead of an exception.
std::string Dump(const LogFields& value) {
  return value.dump(-1, ' ', true, LogFields::error_handler_t::replace);
}

// Now, as RFC 3339 has it.
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

}  // namespace

struct Log::Sink {
  spdlog::logger logger;
  std::string format;
  Clock clock;
  std::mutex mu;
  RepeatLimit repeats;  // guarded by mu

  void Write(spdlog::level::level_enum level, const std::string& name, const std::string& event,
             const LogFields& fields) {
    if (!logger.should_log(level)) return;
    logger.log(level, spdlog::string_view_t(FormatLogLine(format, LogTime(), name, event, fields)));
  }

  void WriteWarning(const std::string& event, const LogFields& fields) {
    Write(spdlog::level::warn, "warning", event, fields);
  }

  void Warn(const std::string& event, const LogFields& fields) {
    if (!logger.should_log(spdlog::level::warn)) return;
    std::optional<int64_t> suppressed;
    {
      const std::lock_guard lock(mu);
      suppressed = repeats.Pass(event, clock());
    }
    if (!suppressed) return;
    LogFields all = fields;
    if (*suppressed > 0) all["suppressed"] = *suppressed;
    WriteWarning(event, all);
  }

  void ReportSuppressed(TimePoint now) {
    std::vector<std::pair<std::string, int64_t>> due;
    {
      const std::lock_guard lock(mu);
      due = repeats.TakeSuppressed(now);
    }
    for (const auto& [event, count] : due) WriteWarning(event, {{"suppressed", count}});
  }
};

Log::Log(const std::string& level, const std::string& format, Clock clock)
    : sink_(new Sink{spdlog::logger("sparsed", std::make_shared<spdlog::sinks::stderr_sink_mt>()),
                     format,
                     std::move(clock),
                     {},
                     {}}) {
  sink_->logger.set_pattern("%v");
  sink_->logger.set_level(spdlog::level::from_str(level));
  sink_->logger.flush_on(spdlog::level::info);
}
Log::~Log() { sink_->ReportSuppressed(TimePoint::max()); }

void Log::SetLevel(const std::string& level) {
  sink_->logger.set_level(spdlog::level::from_str(level));
}

void Log::Info(const std::string& event, const LogFields& fields) const {
  sink_->Write(spdlog::level::info, "info", event, fields);
}
void Log::Warning(const std::string& event, const LogFields& fields) const {
  sink_->Warn(event, fields);
}
void Log::Error(const std::string& event, const LogFields& fields) const {
  sink_->Write(spdlog::level::err, "error", event, fields);
}

void Log::ReportSuppressed() const { sink_->ReportSuppressed(sink_->clock()); }

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
