// The server's log: one line an event on standard error, as JSON or text. Prompts and generated
// text never go in. Field values may hold any bytes: control characters come out escaped.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

namespace sparsed::server {

using LogFields = nlohmann::ordered_json;  // an object

// Thread-safe.
class Log {
 public:
  // level: info, warning or error; format: json or text.
  Log(const std::string& level, const std::string& format);
  ~Log();

  void SetLevel(const std::string& level);
  void Info(const std::string& event, const LogFields& fields) const;
  void Warning(const std::string& event, const LogFields& fields) const;
  void Error(const std::string& event, const LogFields& fields) const;

 private:
  struct Sink;
  std::unique_ptr<Sink> sink_;
};

std::string LogTime();  // now, as the log writes it

// One line of the log, without its end. time: RFC 3339. Pure.
std::string FormatLogLine(const std::string& format, const std::string& time,
                          const std::string& level, const std::string& event,
                          const LogFields& fields);

}  // namespace sparsed::server
