// The server's log: one line an event on standard error, as JSON or text. Prompts and generated
// text never go in. Field values may hold any bytes: control characters come out escaped.
// Clients can cause warnings as often as they like, so repeats of one are left out and counted, as
// server/repeat_limit.h says. Lines that belong to one request each, access lines above all, are no
// warnings: all of them are written.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "server/clock.h"

namespace sparsed::server {

using LogFields = nlohmann::ordered_json;  // an object

// Thread-safe.
class Log {
 public:
  // level: info, warning or error; format: json or text.
  Log(const std::string& level, const std::string& format, Clock clock = SteadyClock());
  ~Log();

  void SetLevel(const std::string& level);
  void Info(const std::string& event, const LogFields& fields) const;
  void Warning(const std::string& event, const LogFields& fields) const;
  void Error(const std::string& event, const LogFields& fields) const;
  // Tells how many warnings were left out, where that is due. Now and then.
  void ReportSuppressed() const;

 private:
  struct Sink;
  std::unique_ptr<Sink> sink_;
};

// One line of the log, without its end. time: RFC 3339. Pure.
std::string FormatLogLine(const std::string& format, const std::string& time,
                          const std::string& level, const std::string& event,
                          const LogFields& fields);

}  // namespace sparsed::server
