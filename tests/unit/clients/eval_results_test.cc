#include "clients/cpp/eval_results.h"

#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/testing/catch.h"

namespace sparsed::clients {
namespace {

class TemporaryPath {
 public:
  TemporaryPath()
      : path_((std::filesystem::temp_directory_path() /
               ("eval_results_test." + std::to_string(getpid()) + ".json"))
                  .string()) {}
  ~TemporaryPath() { std::remove(path_.c_str()); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

EvalSettings Settings() {
  EvalSettings settings;
  settings.data_crc32 = "00c0ffee";
  settings.model = "nano";
  settings.sparse = "sparsed";
  settings.select = 0.3;
  settings.steps_per_token = 0.5;
  settings.block_length = 32;
  settings.end_ids = {4, 1};
  return settings;
}

EvalResults Some() {
  EvalResults results;
  results.settings = Settings();
  results.records = {
      {"dev-add-128-00", "add", 128, 16, {27, 4, 1}, "6", true},
      {"dev-cwe-256-00", "cwe", 256, 16, {30, 4, 1}, "\"a\"\n\xC3\xA9", false},
      {"dev-add-256-00", "add", 256, 32, {}, "", true},
  };
  results.wall_seconds = 2;
  results.generated_tokens = 100;
  return results;
}

TEST_CASE("results come back from their file as they were") {
  const TemporaryPath file;
  REQUIRE(SaveResults(file.path(), Some()).ok());
  const auto loaded = ResumeResults(file.path(), Settings());
  REQUIRE(loaded.ok());
  CHECK(ToJsonText(*loaded) == ToJsonText(Some()));
  CHECK(loaded->records[1].output_text == "\"a\"\n\xC3\xA9");
  CHECK(loaded->records[0].output_ids == std::vector<uint32_t>{27, 4, 1});
  CHECK_FALSE(std::filesystem::exists(file.path() + ".tmp"));
}

TEST_CASE("the file has exactly the promised fields") {
  const auto root = nlohmann::json::parse(ToJsonText(Some()), nullptr, false);
  REQUIRE(root.is_object());
  CHECK(root.size() == 2);
  const auto& record = root["records"][0];
  CHECK(record.size() == 7);
  for (const char* field :
       {"id", "task", "length", "steps", "output_ids", "output_text", "correct"}) {
    CHECK(record.contains(field));
  }
  const auto& summary = root["summary"];
  CHECK(summary["all"]["correct"] == 2);
  CHECK(summary["all"]["total"] == 3);
  CHECK(summary["cwe_fwe"]["total"] == 1);
  CHECK(summary["others"]["accuracy"] == 1.0);
  CHECK(summary["by_task"]["add"]["128"]["total"] == 1);
  CHECK(summary["tokens_per_second"] == 50.0);
}

TEST_CASE("no file means a fresh start") {
  const auto fresh = ResumeResults("/nonexistent/results.json", Settings());
  REQUIRE(fresh.ok());
  CHECK(fresh->records.empty());
  CHECK(fresh->settings.model == "nano");
  CHECK(ResumeResults("", Settings()).ok());
}

TEST_CASE("results of other settings are not mixed in") {
  const TemporaryPath file;
  REQUIRE(SaveResults(file.path(), Some()).ok());
  EvalSettings other = Settings();
  other.select = 0.5;
  const auto mixed = ResumeResults(file.path(), other);
  REQUIRE_FALSE(mixed.ok());
  CHECK(mixed.status().code() == absl::StatusCode::kFailedPrecondition);
  CHECK(std::string(mixed.status().message()).find("select is 0.3 there and 0.5 here") !=
        std::string::npos);
  other = Settings();
  other.data_crc32 = "11111111";
  CHECK_FALSE(ResumeResults(file.path(), other).ok());
  other = Settings();
  other.steps_per_token = 1;
  CHECK_FALSE(ResumeResults(file.path(), other).ok());
}

TEST_CASE("damaged files are refused with the field, and are left alone") {
  const TemporaryPath file;
  const auto error_of = [&file](const std::string& content) {
    std::ofstream(file.path(), std::ios::binary | std::ios::trunc) << content;
    const auto results = ResumeResults(file.path(), Settings());
    return results.ok() ? std::string() : std::string(results.status().message());
  };
  const std::string good = ToJsonText(Some());
  CHECK(error_of(good).empty());
  CHECK(error_of(good.substr(0, good.size() / 2)).find("not a JSON object") != std::string::npos);
  CHECK(error_of("").find("not a JSON object") != std::string::npos);
  CHECK(error_of("{}").find("no valid records") != std::string::npos);
  std::string wrong = good;
  wrong.replace(wrong.find("\"steps\":16"), 10, "\"steps\":-1");
  CHECK(error_of(wrong).find("records[0]: no valid steps") != std::string::npos);
  CHECK(std::filesystem::exists(file.path()));
}

TEST_CASE("a file that cannot be written is an error with its name") {
  const absl::Status status = SaveResults("/nonexistent/dir/r.json", Some());
  REQUIRE_FALSE(status.ok());
  CHECK(std::string(status.message()).find("/nonexistent/dir/r.json.tmp: No such file") !=
        std::string::npos);
}

TEST_CASE("the table has tasks down and lengths across, aggregation apart") {
  const std::string table = RenderEvalTable(Summarise(Some().records));
  CHECK(table ==
        "task             128 tokens    256 tokens           all\n"
        "add            100.0%   1/1  100.0%   1/1  100.0%   2/2\n"
        "cwe                       -    0.0%   0/1    0.0%   0/1\n"
        "\n"
        "cwe + fwe                 -    0.0%   0/1    0.0%   0/1\n"
        "all but these  100.0%   1/1  100.0%   1/1  100.0%   2/2\n"
        "all            100.0%   1/1   50.0%   1/2   66.7%   2/3\n");
}

}  // namespace
}  // namespace sparsed::clients
