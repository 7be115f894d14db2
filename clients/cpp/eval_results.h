// Results of an evaluation and the file they are kept in.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace sparsed::clients {

// What results depend on. Two runs with the same settings may share a file.
struct EvalSettings {
  std::string data_crc32;
  std::string model;
  std::string sparse = "off";  // "off" or "sparsed"
  double select = 0;           // 0 with "off"
  double steps_per_token = 0;  // denoising steps for each canvas token
  uint32_t block_length = 0;
  std::vector<uint32_t> end_ids;
};

struct EvalRecord {
  std::string id;
  std::string task;
  uint32_t length = 0;
  uint32_t steps = 0;
  std::vector<uint32_t> output_ids;  // the canvas in full
  std::string output_text;           // cut at its end
  bool correct = false;
};

struct EvalResults {
  EvalSettings settings;
  std::vector<EvalRecord> records;
  // Over all runs that added to the file.
  double wall_seconds = 0;
  uint64_t generated_tokens = 0;
};

struct Score {
  uint32_t correct = 0;
  uint32_t total = 0;
};

// Scores by task and length, and over groups. cwe and fwe (common and frequent words) are what
// sparse attention loses first, so they are also counted apart.
struct EvalSummary {
  std::map<std::pair<std::string, uint32_t>, Score> by_task_and_length;
  std::map<uint32_t, Score> by_length;              // all tasks
  std::map<uint32_t, Score> aggregation_by_length;  // cwe and fwe
  std::map<uint32_t, Score> others_by_length;       // all but cwe and fwe
  Score all;
  Score aggregation;
  Score others;
};

EvalSummary Summarise(const std::vector<EvalRecord>& records);

// {"records": [{id, task, length, steps, output_ids, output_text, correct}], "summary": {...}}.
// summary.settings are the settings.
std::string ToJsonText(const EvalResults& results);

// Reads what ToJsonText wrote.
// Errors: INVALID_ARGUMENT with file and field.
absl::StatusOr<EvalResults> LoadResults(const std::string& path);

// The results in `path`, or empty ones with `settings` where there is no such file.
// Errors: those of LoadResults; FAILED_PRECONDITION where the file's settings are others, naming
// the first that differs with both values.
absl::StatusOr<EvalResults> ResumeResults(const std::string& path, const EvalSettings& settings);

// Writes the file as a whole or not at all: to a new file beside it, which then takes its name.
// Errors: INTERNAL with the file and the system's reason.
absl::Status SaveResults(const std::string& path, const EvalResults& results);

// Tasks down, lengths across, "87.5% 21/24" in the cells; then the rows all, cwe + fwe and others.
std::string RenderEvalTable(const EvalSummary& summary);

}  // namespace sparsed::clients
