#include "clients/cpp/eval_results.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace sparsed::clients {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

ordered_json ToJson(const Score& score) {
  const double accuracy = score.total == 0 ? 0.0 : static_cast<double>(score.correct) / score.total;
  return {{"correct", score.correct}, {"total", score.total}, {"accuracy", accuracy}};
}

ordered_json ToJson(const std::map<uint32_t, Score>& scores) {
  ordered_json object = ordered_json::object();
  for (const auto& [length, score] : scores) object[std::to_string(length)] = ToJson(score);
  return object;
}

ordered_json ToJson(const EvalSettings& settings) {
  return {{"data_crc32", settings.data_crc32},
          {"model", settings.model},
          {"sparse", settings.sparse},
          {"select", settings.select},
          {"steps_per_token", settings.steps_per_token},
          {"block_length", settings.block_length},
          {"end_ids", settings.end_ids}};
}

ordered_json SummaryJson(const EvalResults& results) {
  const EvalSummary summary = Summarise(results.records);
  ordered_json tasks = ordered_json::object();
  for (const auto& [key, score] : summary.by_task_and_length) {
    tasks[key.first][std::to_string(key.second)] = ToJson(score);
  }
  const double rate =
      results.wall_seconds > 0 ? results.generated_tokens / results.wall_seconds : 0;
  return {{"settings", ToJson(results.settings)},
          {"all", ToJson(summary.all)},
          {"cwe_fwe", ToJson(summary.aggregation)},
          {"others", ToJson(summary.others)},
          {"by_length", ToJson(summary.by_length)},
          {"cwe_fwe_by_length", ToJson(summary.aggregation_by_length)},
          {"others_by_length", ToJson(summary.others_by_length)},
          {"by_task", tasks},
          {"wall_seconds", results.wall_seconds},
          {"generated_tokens", results.generated_tokens},
          {"tokens_per_second", rate}};
}

// Reads fields of one object; the first that is missing or of another type is remembered.
class Reader {
 public:
  Reader(const json& object, std::string path) : object_(object), path_(std::move(path)) {}

  void Get(const char* field, std::string* value) {
    if (const json* found = Find(field, &json::is_string)) *value = found->get<std::string>();
  }
  void Get(const char* field, double* value) {
    if (const json* found = Find(field, &json::is_number)) *value = found->get<double>();
  }
  void Get(const char* field, uint32_t* value) {
    if (const json* found = Find(field, &json::is_number_unsigned)) *value = found->get<uint32_t>();
  }
  void Get(const char* field, uint64_t* value) {
    if (const json* found = Find(field, &json::is_number_unsigned)) *value = found->get<uint64_t>();
  }
  void Get(const char* field, bool* value) {
    if (const json* found = Find(field, &json::is_boolean)) *value = found->get<bool>();
  }
  void Get(const char* field, std::vector<uint32_t>* values) {
    const json* found = Find(field, &json::is_array);
    if (found == nullptr) return;
    for (const json& value : *found) {
      if (!value.is_number_unsigned()) return Fail(field);
      values->push_back(value.get<uint32_t>());
    }
  }
  const json& Object(const char* field) {
    static const json kNone = json::object();
    const json* found = Find(field, &json::is_object);
    return found == nullptr ? kNone : *found;
  }

  absl::Status status() const { return status_; }

 private:
  using Test = bool (json::*)() const noexcept;

  const json* Find(const char* field, Test test) {
    const auto found = object_.find(field);
    if (found != object_.end() && (*found.*test)()) return &*found;
    Fail(field);
    return nullptr;
  }

  void Fail(const char* field) {
    if (!status_.ok()) return;
    status_ = absl::InvalidArgumentError(absl::StrCat(path_, ": no valid ", field));
  }

  const json& object_;
  const std::string path_;
  absl::Status status_;
};

absl::StatusOr<EvalRecord> ReadRecord(const json& object, const std::string& path) {
  EvalRecord record;
  Reader reader(object, path);
  reader.Get("id", &record.id);
  reader.Get("task", &record.task);
  reader.Get("length", &record.length);
  reader.Get("steps", &record.steps);
  reader.Get("output_ids", &record.output_ids);
  reader.Get("output_text", &record.output_text);
  reader.Get("correct", &record.correct);
  if (!reader.status().ok()) return reader.status();
  return record;
}

absl::Status ReadSummary(const json& object, const std::string& path, EvalResults* results) {
  Reader summary(object, path + ": summary");
  summary.Get("wall_seconds", &results->wall_seconds);
  summary.Get("generated_tokens", &results->generated_tokens);
  Reader settings(summary.Object("settings"), path + ": summary.settings");
  settings.Get("data_crc32", &results->settings.data_crc32);
  settings.Get("model", &results->settings.model);
  settings.Get("sparse", &results->settings.sparse);
  settings.Get("select", &results->settings.select);
  settings.Get("steps_per_token", &results->settings.steps_per_token);
  settings.Get("block_length", &results->settings.block_length);
  settings.Get("end_ids", &results->settings.end_ids);
  return summary.status().ok() ? settings.status() : summary.status();
}

// "name is A there and B here" for the first setting that differs; empty if none does.
std::string Difference(const EvalSettings& there, const EvalSettings& here) {
  const ordered_json a = ToJson(there);
  const ordered_json b = ToJson(here);
  for (const auto& [name, value] : a.items()) {
    if (value != b[name]) {
      return absl::StrCat(name, " is ", value.dump(), " there and ", b[name].dump(), " here");
    }
  }
  return "";
}

}  // namespace

EvalSummary Summarise(const std::vector<EvalRecord>& records) {
  EvalSummary summary;
  const auto count = [](bool correct, Score* score) {
    score->correct += correct ? 1 : 0;
    score->total += 1;
  };
  for (const EvalRecord& record : records) {
    const bool aggregation = record.task == "cwe" || record.task == "fwe";
    count(record.correct, &summary.by_task_and_length[{record.task, record.length}]);
    count(record.correct, &summary.by_length[record.length]);
    count(record.correct, aggregation ? &summary.aggregation_by_length[record.length]
                                      : &summary.others_by_length[record.length]);
    count(record.correct, aggregation ? &summary.aggregation : &summary.others);
    count(record.correct, &summary.all);
  }
  return summary;
}

std::string ToJsonText(const EvalResults& results) {
  // One record a line, so that two files can be compared with line tools.
  std::string text = "{\"records\": [";
  const char* separator = "\n";
  for (const EvalRecord& record : results.records) {
    const ordered_json object = {{"id", record.id},
                                 {"task", record.task},
                                 {"length", record.length},
                                 {"steps", record.steps},
                                 {"output_ids", record.output_ids},
                                 {"output_text", record.output_text},
                                 {"correct", record.correct}};
    text += separator;
    text += object.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
    separator = ",\n";
  }
  text += "\n],\n\"summary\": " + SummaryJson(results).dump(1) + "}\n";
  return text;
}

absl::StatusOr<EvalResults> LoadResults(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return absl::NotFoundError(path + ": cannot be opened");
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const json root = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!root.is_object()) return absl::InvalidArgumentError(path + ": not a JSON object");
  const auto records = root.find("records");
  const auto summary = root.find("summary");
  if (records == root.end() || !records->is_array()) {
    return absl::InvalidArgumentError(path + ": no valid records");
  }
  if (summary == root.end() || !summary->is_object()) {
    return absl::InvalidArgumentError(path + ": no valid summary");
  }
  EvalResults results;
  const absl::Status status = ReadSummary(*summary, path, &results);
  if (!status.ok()) return status;
  for (size_t i = 0; i < records->size(); ++i) {
    const json& object = (*records)[i];
    const std::string where = absl::StrCat(path, ": records[", i, "]");
    if (!object.is_object()) return absl::InvalidArgumentError(where + ": not an object");
    auto record = ReadRecord(object, where);
    if (!record.ok()) return record.status();
    results.records.push_back(*std::move(record));
  }
  return results;
}

absl::StatusOr<EvalResults> ResumeResults(const std::string& path, const EvalSettings& settings) {
  EvalResults fresh;
  fresh.settings = settings;
  if (path.empty() || access(path.c_str(), F_OK) != 0) return fresh;
  absl::StatusOr<EvalResults> results = LoadResults(path);
  if (!results.ok()) return results.status();
  const std::string difference = Difference(results->settings, settings);
  if (!difference.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, " holds results of other settings: ", difference));
  }
  return results;
}

absl::Status SaveResults(const std::string& path, const EvalResults& results) {
  const std::string temporary = path + ".tmp";
  const auto fail = [](const std::string& file) {
    return absl::InternalError(absl::StrCat(file, ": ", std::strerror(errno)));
  };
  std::ofstream file(temporary, std::ios::binary | std::ios::trunc);
  file << ToJsonText(results);
  file.close();
  if (!file) return fail(temporary);
  if (std::rename(temporary.c_str(), path.c_str()) != 0) return fail(path);
  return absl::OkStatus();
}

}  // namespace sparsed::clients
