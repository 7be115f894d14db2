#include "clients/cpp/eval_data.h"

#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

#include "tests/testing/catch.h"

namespace sparsed::clients {
namespace {

// A file that is removed at the end of its test.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& content)
      : path_((std::filesystem::temp_directory_path() /
               ("eval_data_test." + std::to_string(getpid())))
                  .string()) {
    std::ofstream(path_, std::ios::binary) << content;
  }
  ~TemporaryFile() { std::remove(path_.c_str()); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

std::string Line(const std::string& id, const std::string& task, int length) {
  return R"({"id":")" + id + R"(","task":")" + task + R"(","length":)" + std::to_string(length) +
         R"(,"gen_length":32,"prompt_ids":[1,2],"answer":"x","checker":"set","extra":null})" + "\n";
}

std::string ErrorOf(const std::string& content) {
  const TemporaryFile file(content);
  const auto data = LoadEvalData(file.path());
  return data.ok() ? "" : std::string(data.status().message());
}

TEST_CASE("records are read as they are") {
  const TemporaryFile file(Line("a", "add", 128) + "\n" + Line("b", "cwe", 256));
  const auto data = LoadEvalData(file.path());
  REQUIRE(data.ok());
  REQUIRE(data->examples.size() == 2);
  CHECK(data->examples[1].task == "cwe");
  CHECK(data->examples[1].length == 256);
  CHECK(data->examples[0].prompt_ids == std::vector<uint32_t>{1, 2});
  CHECK(data->examples[0].checker == Checker::kSet);
  CHECK(data->crc32.size() == 8);
}

TEST_CASE("wrong records are refused with line and field") {
  std::string wrong = Line("b", "add", 128);
  wrong.replace(wrong.find("\"set\""), 5, "\"near\"");
  CHECK(ErrorOf(Line("a", "add", 128) + wrong).find(":2: no valid checker") != std::string::npos);
  CHECK(ErrorOf("{\n").find(":1: no valid JSON object") != std::string::npos);
  CHECK(ErrorOf(Line("a", "add", 128) + Line("a", "add", 128)).find("id a comes twice") !=
        std::string::npos);
  std::string negative = Line("a", "add", 128);
  negative.replace(negative.find("[1,2]"), 5, "[1,-2]");
  CHECK(ErrorOf(negative).find("no valid prompt_ids") != std::string::npos);
  CHECK(ErrorOf("").find("no records") != std::string::npos);
  // The first bytes of a gzip file without the rest.
  CHECK(ErrorOf(std::string("\x1f\x8b\x08\0\0\0\0\0\0\0abc", 13)).find("damaged") !=
        std::string::npos);
  CHECK_FALSE(LoadEvalData("/nonexistent/file").ok());
}

TEST_CASE("a selection takes the first of every task and length") {
  std::vector<EvalExample> examples;
  for (const char* task : {"add", "cwe"}) {
    for (uint32_t length : {128u, 256u}) {
      for (int i = 0; i < 3; ++i) {
        EvalExample example;
        example.task = task;
        example.length = length;
        examples.push_back(example);
      }
    }
  }
  using Indices = std::vector<size_t>;
  CHECK(Select(examples, {{}, {}, 0}).size() == 12);
  CHECK(Select(examples, {{}, {}, 1}) == Indices{0, 3, 6, 9});
  CHECK(Select(examples, {{"cwe"}, {}, 2}) == Indices{6, 7, 9, 10});
  CHECK(Select(examples, {{"add"}, {256}, 0}) == Indices{3, 4, 5});
  CHECK(Select(examples, {{"none"}, {}, 0}).empty());
}

}  // namespace
}  // namespace sparsed::clients
